"""Read Scripture in USFM verse by verse: each verse is a text with its number; notes and book data go to the ledger."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from endonym.ingest.document import Block, Settings, records
from endonym.ingest.encoding import lines
from endonym.types import Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".usfm", ".sfm")
HEADINGS = re.compile(r"(?:mt|mte|ms|s|sr|sp|d|cl|is|imt)(\d?)")
DATA = re.compile(r"(?:ide?|h|toc\d?|toca\d?|sts|rem|usfm|r|mr|cp|ca|va|vp|cat|periph)\d?")
"""Markers of data about the book, and of references to other places."""
_MARKER = re.compile(r"\\(\+?[a-z]+\d?(?:-[se])?)(?:\*|[ \t])?")
_NOTE = re.compile(r"\\(fe?|ef|ex?|x|fig)\s(.*?)\\\1\*", re.S)


class Config(Settings):
    """Settings of reading USFM."""

    encoding: str = Field("", description="Encoding of the file; found when empty.")


def sniff(sample: Sample) -> float:
    """High for lines that begin with the markers of a book, of chapters and of verses."""
    found = set(re.findall(r"^\\(id|c|v)\s", sample.head, re.M))
    return 0.97 if {"c", "v"} <= found else 0.0


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Doc` for every verse and heading; `meta["verse"]` is such as `GEN 1:1`, the same in every language."""
    yield from records(path, "usfm", blocks(path, cfg), cfg)


def blocks(path: Path, cfg: Config) -> Iterator[Block]:
    """Verses and headings in order, and what is left out of them behind each."""
    book, chapter, verse = "", "0", ""
    begun, text = 0, ""
    for number, line in _whole(lines(path, cfg.encoding)):
        marker, rest = _cut(line)
        heading = HEADINGS.fullmatch(marker)
        if marker in ("c", "v") or heading or DATA.fullmatch(marker):
            yield from _verse(begun, text, f"{book} {chapter}:{verse}".strip() if verse else "")
            begun, text = number, ""
        if marker == "id":
            book = rest.split()[0].upper() if rest.split() else ""
        if marker == "c":
            chapter, verse = (rest.split() or ["0"])[0], ""
        elif marker == "v":
            verse, _, text = rest.partition(" ")
        elif heading:
            yield from _left_out(number, rest, int(heading[1] or 1))
        elif DATA.fullmatch(marker):
            yield Block(number, rest.strip(), drop="book_data", detail=f"\\{marker}")
        else:
            text = f"{text} {rest}" if text else rest
            begun = begun or number
    yield from _verse(begun, text, f"{book} {chapter}:{verse}".strip() if verse else "")


def _whole(source: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Lines from one paragraph marker to the next; verses inside a line begin one of their own."""
    begun, text = 0, ""
    for number, line in source:
        for part in re.split(r"(?=\\[cv]\s)", line.strip("\ufeff\r\n")):
            if re.match(r"\\(?!\+|(?:w|f|x|add|nd|wj|qs|fig|bd|it|em|sc|rq|k|tl|qt|pn|sls|ord|no)\b)[a-z]", part):
                if text:
                    yield begun, text
                begun, text = number, part
            elif part.strip():
                begun, text = begun or number, f"{text} {part.strip()}".strip()
    if text:
        yield begun, text


def _cut(line: str) -> tuple[str, str]:
    found = _MARKER.match(line)
    return (found[1], line[found.end() :].strip()) if found else ("", line)


def _verse(number: int, text: str, verse: str) -> Iterator[Block]:
    for block in _left_out(number, text, 0):
        yield block if block.drop or not verse else Block(number, block.text, about={"verse": verse})


def _left_out(number: int, text: str, level: int) -> Iterator[Block]:
    """The text without notes, word lists and the marks of its parts, and behind it what was taken out."""
    notes = [" ".join(_MARKER.sub(" ", found[2]).split()) for found in _NOTE.finditer(text)]
    clean = _NOTE.sub("", text)
    attributes = re.findall(r"\|([^\\|]*)(?=\\)", clean)
    clean = re.sub(r"\|[^\\|]*(?=\\)", "", clean)
    clean = " ".join(_MARKER.sub("", clean).split())
    if clean:
        yield Block(number, clean, level)
    for reason, found in (("note", notes), ("attributes", [one for one in attributes if one.strip()])):
        for one in found:
            yield Block(number, one, drop=reason, detail="beside the text")
