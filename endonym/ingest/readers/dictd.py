"""Read dictionaries of the DICT server: NAME.index with its NAME.dict or NAME.dict.dz beside it.

Each line or number of an article is a sense; headwords that share an article are one entry and its variants. What the
dictionary says of itself (`00-database-...`) goes to the ledger. The line of an `origin` is that of the index.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.errors import DataError, Problem
from endonym.ingest.article import Article, Writer
from endonym.ingest.bodies import add_plain
from endonym.ingest.packed import at, index_bytes, opened
from endonym.ingest.sides import two_sides
from endonym.types import Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.finding import Said
    from endonym.ingest.language import Known
    from endonym.ingest.sample import Sample

EXTENSIONS = (".index",)
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_LINE = re.compile(r"[^\t\n]*\t[A-Za-z0-9+/]+\t[A-Za-z0-9+/]+(?:\t[^\t\n]*)?")
_ABOUT = re.compile(r"00-?database", re.I)
LOOK = 500
"""Articles looked at to tell the languages."""


class Config(BaseModel):
    """Settings of reading dictd's format."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language of the headwords; the project's when empty.")
    pivot: str = Field("", description="Language of the articles; the project's pivot when empty.")
    encoding: str = Field("utf-8", description="Encoding of the articles; old dictionaries may be in latin-1.")


def sniff(sample: Sample) -> float:
    """High where every line is a word and two numbers in base 64, and the text lies beside it."""
    lines = [line for line in sample.head.split("\n")[:200] if line]
    found = lines and all(_LINE.fullmatch(line.rstrip("\r")) for line in lines[: max(1, len(lines) - 1)])
    return 0.95 if found and _text_of(sample.path) else 0.0


def languages(sample: Sample, values: dict[str, Any], known: Known) -> list[Said]:
    """Which languages it is in: by its name, else by what stands in it."""
    writer = Writer(sample.path, "dictd", "", "pivot")
    seen = list(islice(_articles(sample.path, Config(pivot="pivot"), writer), LOOK))
    title = " ; ".join(
        [sample.path.stem, *(getattr(item.record, "text", "") for item in seen if isinstance(item, Drop))]
    )
    entries = [item for item in seen if isinstance(item, Article)]
    words, meanings = [entry.headword for entry in entries], [text for entry in entries for _, text in entry.senses]
    return two_sides(values, title, words, meanings, known)


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield an `Entry` for every article; of the file with the text nothing. Raises DataError."""
    if path.suffix.lower() == ".index":
        writer = Writer(path, "dictd", cfg.language, cfg.pivot)
        yield from writer.records(_articles(path, cfg, writer))


def _text_of(path: Path) -> Path | None:
    return next((p for p in (path.with_name(path.stem + end) for end in (".dict", ".dict.dz")) if p.is_file()), None)


def _articles(path: Path, cfg: Config, writer: Writer) -> Iterator[Article | Drop]:
    text = _text_of(path)
    if text is None:
        raise DataError(Problem(path.name, 0, "", f"neither {path.stem}.dict nor {path.stem}.dict.dz is beside it",
                                "put the index and the text of the dictionary into one folder"))  # fmt: skip
    places = _places(path)
    needed = max((offset + size for offset, size in places), default=0)
    with opened(text, needed) as file:
        for (offset, size), heads in places.items():
            line, headword = heads[0]
            body = at(file, offset, size, text, line, headword).decode(cfg.encoding, errors="replace")
            if _ABOUT.match(headword):
                yield writer.left(body.strip(), line, "about_the_dictionary", "what the dictionary says of itself")
                continue
            article = Article(line, headword, variants=[word for _, word in heads[1:]])
            add_plain(article, body, cfg.pivot)
            yield article


def _places(path: Path) -> dict[tuple[int, int], list[tuple[int, str]]]:
    """`(offset, size)` -> the lines and headwords that name this article, in file order."""
    found: dict[tuple[int, int], list[tuple[int, str]]] = defaultdict(list)
    text = index_bytes(path).decode("utf-8", errors="replace")
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.rstrip("\r")
        if not line:
            continue
        if not _LINE.fullmatch(line):
            raise DataError(Problem(path.name, number, "", "no headword with two numbers in base 64",
                                    "the index is damaged; copy or download it again"))  # fmt: skip
        cells = line.split("\t")
        # A fourth cell has the headword as it is written, where the first is folded for searching.
        found[_number(cells[1]), _number(cells[2])].append(
            (number, cells[3] if len(cells) > 3 and cells[3] else cells[0])
        )
    return found


def _number(digits: str) -> int:
    value = 0
    for digit in digits:
        value = value * 64 + DIGITS.index(digit)
    return value
