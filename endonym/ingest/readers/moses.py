"""Read parallel files with a line a sentence, as Moses and OPUS have them: NAME.de beside NAME.fr, packed or not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.languages import known
from endonym.errors import DataError, Problem
from endonym.ingest.encoding import lines
from endonym.ingest.ids import Ids
from endonym.ingest.names import split_ending
from endonym.ingest.packing import bare_name
from endonym.types import Doc, Drop, Pair, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS: tuple[str, ...] = ()
PACKED = True
_NO_LANGUAGES = frozenset(
    ("txt", "csv", "tsv", "tab", "xml", "htm", "tmx", "xlf", "srt", "vtt", "eaf", "cha", "pdf", "doc", "odt", "rtf", "wav", "mp3",
     "ogg", "jpg", "png", "tif", "gif", "log", "zip", "tar", "bak", "old", "tmp", "ids", "scores", "md", "py", "sh", "js", "po", "sfm",
     "lex", "dic", "idx", "ini", "cfg", "sql", "db", "sbv", "mdf", "rst", "tex", "bib", "css", "svg", "xls", "ods", "gz", "bz2", "xz")
)  # fmt: skip
"""Endings of two or three letters that say what kind of file it is."""


class Config(BaseModel):
    """Settings of reading parallel lines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language, when the file's ending does not say it; the project's when empty.")
    pivot: str = Field("", description="Pivot language, so that its code is understood as an ending.")
    translation: str = Field(
        "", description="File beside it with the same lines in the other language; none when empty."
    )
    encoding: str = Field("", description="Encoding of the files; found when empty.")


def sniff(sample: Sample) -> float:
    """High where the ending is a language and a file of the same name with another language lies beside it."""
    path = bare_name(sample.path)
    code = path.suffix[1:]
    if not _may_be_language(code):
        return 0.0
    beside = [bare_name(other) for other in sample.path.parent.glob(f"{_literal(path.stem)}.*")]
    others = {other.suffix[1:] for other in beside if other.stem == path.stem and other.suffix != path.suffix}
    return 0.92 if any(_may_be_language(o) and (known(o) or known(code)) for o in others) else 0.0


def _may_be_language(code: str) -> bool:
    return code.isascii() and code.isalpha() and len(code) in (2, 3) and code.lower() not in _NO_LANGUAGES


def _literal(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Pair` a line when both files have as many lines; else both are documents for `align`, never read side by side.

    Called with the file that is the translation of another, it yields nothing: it is read with that one.
    """
    if path.name == cfg.translation:
        return
    name, code = split_ending(path, cfg.language, cfg.pivot)
    code = code or cfg.language
    if not cfg.translation:
        yield from _document(path, cfg, Ids(), code, {"document": name})
        return
    other = path.with_name(cfg.translation)
    if not other.is_file():
        raise DataError(Problem(path.name, 0, "translation", f"the file {other.name} is not beside it",
                                "put it there, or correct the name"))  # fmt: skip
    second = split_ending(other, cfg.language, cfg.pivot)[1] or (cfg.pivot if code != cfg.pivot else cfg.language)
    ids = Ids()
    if not _same_lines(path, other, cfg):
        for file, one in ((path, code), (other, second)):
            yield from _document(file, cfg, ids, one, {"document": name, "parallel": name})
        return
    sides = (lines(path, cfg.encoding), lines(other, cfg.encoding))
    for number, (left, right) in enumerate(zip_longest(*sides, fillvalue=(0, "")), 1):
        source, target = _clean(left[1]), _clean(right[1])
        if not source and not target:
            continue
        meta: dict[str, Any] = {"document": name, "part": number, "target_origin": f"{other.name}:{number}"}
        pair = Pair(
            ids("pair", code, source, second, target), source, target, code, second, f"{path.name}:{number}", meta
        )
        yield pair if source and target else Drop(pair, "moses.one_side", "the line is empty on the other side")


def _document(path: Path, cfg: Config, ids: Ids, code: str, about: dict[str, Any]) -> Iterator[Record]:
    for number, line in lines(path, cfg.encoding):
        if text := _clean(line):
            yield Doc(ids("doc", code, text), text, code, f"{path.name}:{number}", {**about, "part": number})


def _clean(line: str) -> str:
    return line.strip("\ufeff\r\n\t ")


def _same_lines(path: Path, other: Path, cfg: Config) -> bool:
    """Whether both have as many lines, or would without empty lines at their ends."""
    one, two = _counts(path, cfg), _counts(other, cfg)
    return one[0] == two[0] or one[1] == two[1]


def _counts(path: Path, cfg: Config) -> tuple[int, int]:
    """Number of all lines, and of those up to the last one with text."""
    number = last = 0
    for number, line in lines(path, cfg.encoding):
        last = number if _clean(line) else last
    return number, last
