"""Read OpenDocument text (ODT), as LibreOffice writes it: headings, paragraphs, tables and notes; comments go to the ledger."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from endonym.errors import DataError, Problem
from endonym.ingest.archive import kind_of, opened
from endonym.ingest.document import Block, Settings, records, texts
from endonym.ingest.paragraphs import Paragraphs
from endonym.types import Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".odt", ".ott")
LEFT_OUT = {
    "annotation": "comment", "deletion": "deleted", "note-citation": "note_number", "page-number": "page_number",
    "hidden-text": "hidden", "hidden-paragraph": "hidden", "ruby-text": "ruby",
}  # fmt: skip
"""Elements whose text is not part of the text as it stands, and the reason the ledger gives."""
AROUND = {"index-body": "contents", "header": "header", "footer": "footer", "header-left": "header",
          "footer-left": "footer", "header-first": "header", "footer-first": "footer"}  # fmt: skip
DETAILS = {
    "comment": "a comment beside the text", "deleted": "deleted with changes being tracked", "hidden": "marked as hidden",
    "note_number": "number of a note", "page_number": "number of a page", "ruby": "a reading above the line",
    "contents": "table of contents or index", "header": "header of the pages", "footer": "footer of the pages",
}  # fmt: skip
MOST_SPACES = 10_000
"""Spaces that one element may stand for."""


class Config(Settings):
    """Settings of reading OpenDocument text."""


def sniff(sample: Sample) -> float:
    """High where an archive holds OpenDocument text, whatever its name."""
    return 0.95 if sample.form and kind_of(sample.path) == "odt" else 0.0


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Doc` for every heading, paragraph and note in order."""
    yield from records(path, "odt", blocks(path), cfg)


def head(path: Path) -> Iterator[str]:
    """The texts of the document in order, for a look at its language."""
    yield from texts(blocks(path))


def blocks(path: Path) -> Iterator[Block]:
    """The blocks of the text, then the headers and footers of its pages. Raises DataError for a document with a password."""
    with opened(path) as archive:
        if "META-INF/manifest.xml" in archive.names and b"encryption-data" in archive.whole("META-INF/manifest.xml"):
            raise DataError(Problem(path.name, 0, "", "the document is protected by a password",
                                    "open it, take the password off, and save it again"))  # fmt: skip
        state = _Text()
        yield from archive.parse("content.xml", state)
        if "styles.xml" in archive.names:
            yield from archive.parse("styles.xml", _Text(state.place))


class _Text(Paragraphs):
    """Follows OpenDocument 1.3 part 3 (chapters 4 to 9) and puts its paragraphs and table rows into `done`."""

    def __init__(self, place: int = 0):
        super().__init__(DETAILS, place)
        self.around: list[str] = []
        self.notes = 0
        self.space = True
        """Whether white space here stands behind other white space, which is folded."""

    def start(self, tag: str, values: dict[str, str]) -> None:
        if tag in ("p", "h"):
            self.open()
            self.space = True
            if tag == "h":
                level = values.get("outline-level", "1")
                self.heading(int(level) if level.isdigit() else 1)
        elif tag == "s":
            count = values.get("c", "1")
            self.say(" " * min(int(count) if count.isdigit() else 1, MOST_SPACES))
            self.space = False
        elif tag in ("tab", "line-break"):
            self.say("\t" if tag == "tab" else "\n")
        elif tag in ("table", "table-row", "table-cell"):
            {"table": self.table, "table-row": self.row, "table-cell": self.cell}[tag]()
        elif tag == "note":
            self.notes += 1
        if tag in LEFT_OUT:
            self.reasons.append(LEFT_OUT[tag])
        if tag in AROUND:
            self.around.append(AROUND[tag])

    def end(self, tag: str) -> None:
        if tag in LEFT_OUT:
            self.reasons.pop()
        if tag in AROUND:
            self.around.pop()
        if tag in ("p", "h"):
            self.close(self.around[-1] if self.around else "", {"section": "notes"} if self.notes else {})
            self.space = False
        elif tag in ("table", "table-row", "table-cell"):
            {"table": self.end_table, "table-row": self.end_row, "table-cell": self.end_cell}[tag]()
        elif tag == "note":
            self.notes -= 1

    def data(self, data: str) -> None:
        # White space of the file is folded as in HTML; what is meant stands there as elements.
        kept = " ".join(word for word in re.split(r"[ \t\r\n]+", data) if word)
        if data[:1] in " \t\r\n" and not self.space:
            kept = f" {kept}"
        if kept.strip(" ") and data[-1:] in " \t\r\n":
            kept += " "
        if kept:
            self.say(kept)
            self.space = kept.endswith(" ")
