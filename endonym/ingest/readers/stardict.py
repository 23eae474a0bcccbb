"""Read dictionaries in StarDict's format: NAME.ifo with its .idx, .dict (or .dict.dz) and .syn beside it.

All kinds of articles are read: plain text, HTML, Pango, XDXF, phonetic spelling. Each line or number of an article is a sense, its markup is taken
off, other spellings are variants. Sounds and pictures are named in the entry's `meta`, not read. The line of an `origin` is the
number of the entry in the index.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.errors import DataError, Problem
from endonym.ingest.article import Article, Writer
from endonym.ingest.bodies import add_markup, add_plain
from endonym.ingest.packed import at, index_bytes, opened
from endonym.ingest.sides import two_sides
from endonym.types import Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.finding import Said
    from endonym.ingest.language import Known
    from endonym.ingest.sample import Sample

EXTENSIONS = (".ifo",)
MAGIC = "StarDict's dict ifo file"
LOOK = 500
"""Articles looked at to tell the languages."""
Place = tuple[str, int, int]
"""Headword, offset and size of an article."""


class Config(BaseModel):
    """Settings of reading StarDict."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language of the headwords; the project's when empty.")
    pivot: str = Field("", description="Language of the articles; the project's pivot when empty.")
    encoding: str = Field("utf-8", description="Encoding of articles of the old kind l; all others are UTF-8.")


def sniff(sample: Sample) -> float:
    """High where the file starts as an .ifo does."""
    return 0.95 if sample.head.lstrip("\ufeff").startswith(MAGIC) else 0.0


def languages(sample: Sample, values: dict[str, Any], known: Known) -> list[Said]:
    """Which languages it is in: by its name, else by what stands in it."""
    about = _about(sample.path)
    seen = list(islice(_articles(sample.path, Config(pivot="pivot")), LOOK))
    words = [article.headword for article in seen]
    meanings = [text for article in seen for _, text in article.senses]
    title = f"{about.get('lang', '')} ; {sample.path.stem} ; {about.get('bookname', '')}"
    return two_sides(values, title, words, meanings, known)


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield an `Entry` for every article; of the other files of the dictionary nothing. Raises DataError."""
    if path.suffix.lower() == ".ifo":
        yield from Writer(path, "stardict", cfg.language, cfg.pivot).records(_articles(path, cfg))


def _about(path: Path) -> dict[str, str]:
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    return {
        key.strip(): value.strip() for key, mark, value in (line.partition("=") for line in text.splitlines()) if mark
    }


def _beside(path: Path, *ends: str) -> Path:
    found = [path.with_name(path.stem + end) for end in ends]
    for one in found:
        if one.is_file():
            return one
    raise DataError(Problem(path.name, 0, "", f"{found[0].name} is not beside it",
                            "put the files of the dictionary (.ifo .idx .dict or .dict.dz) into one folder"))  # fmt: skip


def _articles(path: Path, cfg: Config) -> Iterator[Article]:
    about = _about(path)
    index = _beside(path, ".idx", ".idx.gz")
    places = _places(index, 8 if about.get("idxoffsetbits") == "64" else 4)
    spellings = _spellings(path, len(places))
    text = _beside(path, ".dict", ".dict.dz")
    needed = max((offset + size for _, offset, size in places), default=0)
    kinds = about.get("sametypesequence", "")
    with opened(text, needed) as file:
        for number, (headword, offset, size) in enumerate(places, 1):
            article = Article(number, headword, variants=spellings[number - 1])
            for kind, raw in _parts(at(file, offset, size, text, number, headword), kinds):
                _add(article, kind, raw, cfg)
            yield article


def _places(index: Path, width: int) -> list[Place]:
    raw, place = index_bytes(index), 0
    found: list[Place] = []
    while place < len(raw):
        end = raw.find(b"\0", place)
        if end < 0 or end + 1 + width + 4 > len(raw):
            raise DataError(Problem(index.name, len(found) + 1, "", "the index ends inside an entry",
                                    "the file was cut off; copy or download it again"))  # fmt: skip
        offset, size = struct.unpack_from(">QI" if width == 8 else ">II", raw, end + 1)
        found.append((raw[place:end].decode("utf-8", errors="replace"), offset, size))
        place = end + 1 + width + 4
    return found


def _spellings(path: Path, count: int) -> dict[int, list[str]]:
    """Number of an entry -> its other spellings."""
    found: dict[int, list[str]] = defaultdict(list)
    index = next((p for p in (path.with_name(path.stem + end) for end in (".syn", ".syn.dz")) if p.is_file()), None)
    raw, place = index_bytes(index) if index else b"", 0
    while place < len(raw):
        end = raw.find(b"\0", place)
        if end < 0 or end + 5 > len(raw):
            raise DataError(Problem(index.name if index else "", 0, "", "it ends inside an entry",
                                    "the file was cut off; copy or download it again"))  # fmt: skip
        (number,) = struct.unpack_from(">I", raw, end + 1)
        if number < count:
            found[number].append(raw[place:end].decode("utf-8", errors="replace"))
        place = end + 5
    return found


def _parts(raw: bytes, kinds: str) -> Iterator[tuple[str, bytes]]:
    """The parts of an article, each with its kind. Lower-case kinds end with a NUL, upper-case ones begin with their size.

    Where the .ifo gives the kinds of all articles, they do not stand in the articles, and the last part has no NUL and no size.
    """
    place, number = 0, 0
    while place < len(raw) if not kinds else number < len(kinds):
        if kinds:
            kind, last = kinds[number], number == len(kinds) - 1
        else:
            kind, last = chr(raw[place]), False
            place += 1
        number += 1
        if last:
            yield kind, raw[place:]
            return
        if kind.isupper():
            size = int.from_bytes(raw[place : place + 4], "big")
            yield kind, raw[place + 4 : place + 4 + size]
            place += 4 + size
        else:
            end = raw.find(b"\0", place)
            end = len(raw) if end < 0 else end
            yield kind, raw[place:end]
            place = end + 1


def _add(article: Article, kind: str, raw: bytes, cfg: Config) -> None:
    if kind.isupper():
        article.note("media", f"{kind}, {len(raw)} bytes")
        return
    text = raw.rstrip(b"\0").decode(cfg.encoding if kind == "l" else "utf-8", errors="replace")
    if kind in "hgxk":
        add_markup(article, text, cfg.pivot, kind == "h")
    elif kind in "ty":
        article.note("pronunciation", text.strip())
    elif kind == "r":
        article.note("media", text.strip())
    else:
        add_plain(article, text, cfg.pivot)
