"""Take HTML apart into headings, paragraphs and table rows; tags that are never closed do no harm."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from itertools import groupby

from endonym.ingest.document import Block

BLOCKS = frozenset(
    re.findall(
        r"\w+",
        "address article aside blockquote body br caption dd details div dl dt fieldset figcaption figure footer form h1 h2"
        " h3 h4 h5 h6 header hr html legend li main nav ol option p pre section summary table tbody td tfoot th thead title"
        " tr ul",
    )
)
SILENT = frozenset(("script", "style"))
"""Elements that hold no text of the page."""
ASIDE = frozenset(("template", "noscript", "svg", "math", "iframe", "object", "select"))
"""Elements whose text is no running text, or stands for something a page cannot show."""
MENUS = frozenset(("nav", "header", "footer", "aside", "form"))
ROLES = frozenset(("navigation", "banner", "contentinfo", "search", "complementary"))
NOTES = frozenset(("footnote", "endnote", "rearnote", "doc-footnote", "doc-endnote"))
"""What an <aside> may be that belongs to the text."""
_EMPTY = re.compile(r"<(a|div|iframe|p|script|span|style|textarea|title)\b([^<>]*)/>", re.I)


@dataclass(frozen=True)
class Page:
    """What stands on a page."""

    blocks: list[Block]
    """Each with the line it begins on."""
    language: str
    """As the page names it."""
    licence: str
    """Address behind `rel="license"`."""


def take_apart(text: str) -> Page:
    """The blocks of a page of HTML, and what it says of itself."""
    page = _Page()
    # <script/> is whole in XHTML; a reader of HTML would take all that follows for its content.
    page.feed(_EMPTY.sub(r"<\1\2></\1>", text))
    page.close()
    page.flush()
    return Page(page.finished(), page.lang, page.licence)


class _Found:
    """A block with the place it has in a table: number of the table, of its row, of its cell."""

    def __init__(self, block: Block, place: tuple[int, int, int]):
        self.block, self.table, self.row, self.cell = block, *place


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[_Found] = []
        self.lang = ""
        self.licence = ""
        self._text: list[str] = []
        self._line = 0
        self._level = 0
        self._silent: list[str] = []
        self._menus: list[list] = []
        """[tag, how many of it are open since, reason, detail] of each menu or other left-out part that is open."""
        self._note = False
        self._notes: list[str] = []
        self._articles = 0
        self._tables: list[list[int]] = []
        self._num_tables = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        if tag in ("html", "body"):
            self.lang = self.lang or values.get("lang") or values.get("xml:lang") or ""
        if "license" in values.get("rel", "").lower().split():
            self.licence = self.licence or values.get("href", "")
        if tag in SILENT:
            self._silent.append(tag)
            return
        if self._menus and self._menus[-1][0] == tag:
            self._menus[-1][1] += 1
        if tag in BLOCKS or tag in ASIDE:
            self.flush()
        if self._opens_part(tag, values):
            return
        if tag in ("article", "main"):
            self._articles += 1
        if re.fullmatch(r"h[1-6]|title", tag):
            self._level = 1 if tag == "title" else int(tag[1])
        self._table_begins(tag)

    def _opens_part(self, tag: str, values: dict[str, str]) -> bool:
        """Whether an element begins that is left out, and is now noted."""
        kind = f"{values.get('epub:type', '')} {values.get('role', '')}".split()
        if tag == "a" and {"noteref", "doc-noteref"} & set(kind):
            self._note = True
        elif tag in ASIDE:
            self._menus.append([tag, 1, "aside", f"inside <{tag}>"])
        elif tag in MENUS and not (tag in ("header", "footer") and self._articles) and not NOTES & set(kind):
            self._menus.append([tag, 1, "menu", f"inside <{tag}>"])
        elif tag in BLOCKS and ROLES & set(kind):
            self._menus.append([tag, 1, "menu", f"its role is {next(iter(ROLES & set(kind)))}"])
        else:
            return False
        return True

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in BLOCKS:
            self.flush()

    def handle_endtag(self, tag: str) -> None:
        if tag in self._silent:
            del self._silent[self._silent.index(tag) :]
            return
        self._note = self._note and tag != "a"
        if tag in BLOCKS or tag in ASIDE:
            self.flush()
        if tag in ("article", "main"):
            self._articles = max(0, self._articles - 1)
        for number, part in enumerate(self._menus):
            if part[0] == tag:
                part[1] -= 1
                if part[1] == 0:
                    del self._menus[number:]
                break
        if tag == "table" and self._tables:
            self._tables.pop()

    def _table_begins(self, tag: str) -> None:
        if tag == "table":
            self._num_tables += 1
            self._tables.append([self._num_tables, 0, 0])
        elif tag == "tr" and self._tables:
            self._tables[-1][1:] = [self._tables[-1][1] + 1, 0]
        elif tag in ("td", "th") and self._tables:
            self._tables[-1][2] += 1

    def handle_data(self, data: str) -> None:
        if self._note:
            self._notes.append(data)
        elif not self._silent:
            if not self._text and data.strip():
                self._line = self.getpos()[0] + data[: len(data) - len(data.lstrip())].count("\n")
            self._text.append(data)

    def flush(self) -> None:
        """End the block that is open."""
        # HTML folds its own white space only: a no-break space or a zero width joiner is the writer's.
        text = re.sub(r"[ \t\r\n\f]+", " ", "".join(self._text)).strip(" ")
        table, row, cell = self._tables[-1] if self._tables else (0, 0, 0)
        place = (table if row and cell else 0, row, cell)
        if text:
            _, _, reason, detail = self._menus[-1] if self._menus else ("", 0, "", "")
            block = Block(self._line, text, self._level if not reason else 0, reason, detail)
            self.found.append(_Found(block, place))
        if self._notes:
            marks = " ".join(self._notes).strip()
            note = Block(self._line or self.getpos()[0], marks, drop="note_number", detail="number of a note")
            self.found += [_Found(note, place)] if marks else []
        self._text, self._level, self._notes = [], 0, []

    def finished(self) -> list[Block]:
        """The blocks, those of a table row put together; a table with headings in it arranges a page and is none."""
        blocks: list[Block] = []
        for table, run in groupby(self.found, key=lambda found: found.table):
            parts = list(run)
            if not table or any(part.block.level or part.block.drop in ("menu", "aside") for part in parts):
                blocks += [part.block for part in parts]
                continue
            for _, row in groupby(parts, key=lambda part: part.row):
                cells: dict[int, list[str]] = {}
                line: int | str = 0
                for part in row:
                    if part.block.drop:
                        blocks.append(replace(part.block, table=table))
                        continue
                    line = line or part.block.place
                    cells.setdefault(part.cell, []).append(part.block.text)
                whole = tuple(tuple(cells.get(k, ())) for k in range(1, max(cells, default=0) + 1))
                blocks += [Block(line, table=table, cells=whole)] if whole else []
        return blocks
