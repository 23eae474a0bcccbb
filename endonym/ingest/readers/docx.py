"""Read Word documents (DOCX): headings, paragraphs, tables and footnotes; comments, deletions and page headers go to the ledger."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from endonym.ingest.archive import Archive, kind_of, opened
from endonym.ingest.document import Block, Settings, records, texts
from endonym.ingest.paragraphs import Paragraphs
from endonym.types import Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".docx", ".docm", ".dotx")
LEFT_OUT = {"delText": "deleted", "moveFrom": "deleted", "instrText": "field", "comment": "comment"}
"""Elements whose text is not part of the text as it stands, and the reason the ledger gives."""
DETAILS = {
    "deleted": "deleted or moved with changes being tracked", "field": "an instruction to Word, such as where a link leads",
    "comment": "a comment beside the text", "hidden": "marked as hidden", "header": "header of the pages",
    "footer": "footer of the pages", "contents": "table of contents",
}  # fmt: skip


class Config(Settings):
    """Settings of reading Word documents."""


def sniff(sample: Sample) -> float:
    """High where an archive holds a Word document, whatever its name."""
    return 0.95 if sample.form and kind_of(sample.path) == "docx" else 0.0


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Doc` for every heading, paragraph and footnote in order; the language Word stamps on text is not believed."""
    yield from records(path, "docx", blocks(path), cfg)


def head(path: Path) -> Iterator[str]:
    """The texts of the document in order, for a look at its language."""
    yield from texts(blocks(path))


def blocks(path: Path) -> Iterator[Block]:
    """The blocks of the main text, then notes, then what stands around the text."""
    with opened(path) as archive:
        main = _main(archive)
        folder = posixpath.dirname(main)
        levels = _levels(archive, f"{folder}/styles.xml")
        place = 0
        names = [main, *(f"{folder}/{part}.xml" for part in ("footnotes", "endnotes", "comments"))]
        names += sorted(n for n in archive.names if re.fullmatch(rf"{re.escape(folder)}/(header|footer)\d*\.xml", n))
        for name in names:
            if name in archive.names:
                state = _Text(levels, posixpath.basename(name), place)
                yield from archive.parse(name, state)
                place = state.place


def _main(archive: Archive) -> str:
    """Name of the part with the text: the one the package says, else the usual one."""

    class Relations:
        def __init__(self) -> None:
            self.done: list[str] = []

        def start(self, tag: str, values: dict[str, str]) -> None:
            if tag == "Relationship" and values.get("Type", "").endswith("/officeDocument"):
                self.done.append(values.get("Target", "").lstrip("/"))

        def end(self, tag: str) -> None: ...

        def data(self, data: str) -> None: ...

    found = list(archive.parse("_rels/.rels", Relations())) if "_rels/.rels" in archive.names else []
    return found[0] if found and found[0] in archive.names else "word/document.xml"


class _Styles:
    """Reads which paragraph styles are headings (level from 1) or lines of a table of contents (-1)."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.levels: dict[str, int] = {}
        self.based: dict[str, str] = {}
        self.style = ""

    def start(self, tag: str, values: dict[str, str]) -> None:
        value = values.get("val", "")
        if tag == "style":
            self.style = values.get("styleId", "") if values.get("type") == "paragraph" else ""
        elif not self.style:
            return
        elif tag == "name":
            found = re.fullmatch(r"(heading|toc) (\d)", value.lower())
            if found or value.lower() in ("title", "subtitle"):
                self.levels[self.style] = (-1 if found[1] == "toc" else int(found[2])) if found else 1
        elif tag == "outlineLvl" and value.isdigit() and int(value) < 9:
            self.levels.setdefault(self.style, int(value) + 1)
        elif tag == "basedOn":
            self.based[self.style] = value

    def end(self, tag: str) -> None: ...

    def data(self, data: str) -> None: ...


def _levels(archive: Archive, name: str) -> dict[str, int]:
    """Level of the headings by the id of their style."""
    if name not in archive.names:
        return {}
    styles = _Styles()
    list(archive.parse(name, styles))
    for style in styles.based:
        parent, seen = style, {style}
        while parent not in styles.levels and (parent := styles.based.get(parent, "")) and parent not in seen:
            seen.add(parent)
        if parent in styles.levels:
            styles.levels.setdefault(style, styles.levels[parent])
    return styles.levels


class _Text(Paragraphs):
    """Follows WordprocessingML (ECMA-376 part 1, chapter 17) and puts its paragraphs and table rows into `done`."""

    def __init__(self, levels: dict[str, int], part: str, place: int):
        super().__init__(DETAILS, place)
        self.levels = levels
        kind = re.match(r"[a-z]+", part)
        self.part = kind[0] if kind else ""
        self.around = self.part if self.part in ("header", "footer") else ""
        self.fallback = 0
        self.taken = False

    def start(self, tag: str, values: dict[str, str]) -> None:
        if tag == "Fallback":
            # The same text again, for programs that cannot show the first form.
            self.fallback += 1
        if self.fallback:
            return
        value = values.get("val", "")
        if tag == "p":
            self.open()
        elif tag == "pStyle" and value in self.levels:
            self.heading(self.levels[value])
        elif tag == "outlineLvl" and value.isdigit() and int(value) < 9:
            self.heading(int(value) + 1)
        elif tag in ("t", "delText", "instrText"):
            self.taken = True
        elif tag in ("tab", "ptab") and self.inside("r"):
            self.say("\t")
        elif (tag == "br" and values.get("type", "textWrapping") == "textWrapping") or tag == "cr":
            self.say("\n")
        elif tag in ("noBreakHyphen", "softHyphen"):
            self.say("\u2011" if tag == "noBreakHyphen" else "\u00ad")
        elif tag == "sym":
            self.say(_symbol(values.get("char", "")))
        elif tag == "vanish" and self.inside("r") and value not in ("0", "false", "off"):
            self.hidden = True
        elif tag in ("tbl", "tr", "tc"):
            {"tbl": self.table, "tr": self.row, "tc": self.cell}[tag]()
        if tag in LEFT_OUT:
            self.reasons.append(LEFT_OUT[tag])
        self.within.append(tag)

    def end(self, tag: str) -> None:
        if self.fallback:
            self.fallback -= tag == "Fallback"
            return
        self.within.pop()
        if tag in LEFT_OUT:
            self.reasons.pop()
        if tag in ("t", "delText", "instrText"):
            self.taken = False
        elif tag == "r":
            self.hidden = False
        elif tag == "p":
            note = {"section": self.part} if self.part in ("footnotes", "endnotes") else {}
            self.close(self.around, note)
        elif tag in ("tc", "tr", "tbl"):
            {"tbl": self.end_table, "tr": self.end_row, "tc": self.end_cell}[tag]()

    def data(self, data: str) -> None:
        if self.taken and not self.fallback:
            self.say(data)


def _symbol(code: str) -> str:
    """A character of a symbol font by its hexadecimal number."""
    number = int(code, 16) if re.fullmatch(r"[0-9A-Fa-f]{1,6}", code) else 0
    return chr(number) if 0 < number < 0x110000 and not 0xD800 <= number < 0xE000 else ""
