"""Read plain text paragraph by paragraph; files named NAME.<language>.txt translate each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from endonym.ingest.document import Block, Settings, records
from endonym.ingest.encoding import lines
from endonym.ingest.verses import Verses
from endonym.types import Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".txt", ".text")
_NUMBER = re.compile(r"(\d{1,9})\t")
LONGEST = 20_000
"""A paragraph of more characters is taken for a file without blank lines, and cut at its line ends."""


class Config(Settings):
    """Settings of reading text."""

    paragraphs: Literal["auto", "blank", "line"] = Field(
        "auto", description="What ends a paragraph: a blank line, or every line; found from the file when auto."
    )
    encoding: str = Field("", description="Encoding of the file; found when empty.")


def sniff(sample: Sample) -> float:
    """Medium for any text that is no table and no markup; high for lines that begin with verse numbers."""
    verses = Verses()
    verses.look(line for line in sample.head.splitlines()[:200] if line.strip())
    if verses.on:
        return 0.9
    if sample.head and all(_NUMBER.match(line) for line in sample.head.splitlines()[:50]):
        return 0.6
    if sample.layout is not None or sample.columns or sample.head.lstrip().startswith(("<", "{", "[")):
        return 0.05
    return 0.0 if sample.form else 0.6 if sample.path.suffix.lower() in EXTENSIONS else 0.3


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Doc` for every paragraph and heading (`# Title`) in order."""
    yield from records(path, "text", blocks(path, cfg), cfg)


def blocks(path: Path, cfg: Config) -> Iterator[Block]:
    """Cut a file into headings and paragraphs."""
    numbered = _numbered(path, cfg.encoding)
    every_line = numbered or cfg.paragraphs == "line" or (cfg.paragraphs == "auto" and not _wrapped(path, cfg.encoding))
    begun, text = 0, ""
    for number, raw in lines(path, cfg.encoding):
        line = raw.strip().strip("\ufeff")
        place = _NUMBER.match(line) if numbered else None
        if place:
            yield Block(number, place[1].strip(), drop="line_number", detail="number of the line")
            line = line[place.end() :]
        heading = re.match(r"(#{1,6})\s+(\S.*?)(?:\s+#+)?$", line)
        if text and (not line or heading or every_line or len(text) > LONGEST):
            yield Block(begun, text)
            text = ""
        if heading:
            yield Block(number, heading[2], len(heading[1]))
        elif line:
            begun, text = (begun, f"{text} {line}") if text else (number, line)
    if text:
        yield Block(begun, text)


def _numbered(path: Path, encoding: str) -> bool:
    """Whether every line begins with a number of its own, one more than the line before, and a tab."""
    before, seen = None, 0
    for _, line in islice(lines(path, encoding), 200):
        found = _NUMBER.match(line.strip("\ufeff"))
        if found is None or (before is not None and int(found[1]) != before + 1):
            return False
        before, seen = int(found[1]), seen + 1
    return seen > 1


def _wrapped(path: Path, encoding: str) -> bool:
    """Whether paragraphs are set over several lines: blank lines there are, and most lines have a neighbour to go on in."""
    blank = neighbours = filled = 0
    before = False
    for number, line in lines(path, encoding):
        here = bool(line.strip())
        blank += not here
        filled += here
        neighbours += here and before
        before = here
        if number >= 2000:
            break
    return blank > 0 and neighbours > 0.3 * filled
