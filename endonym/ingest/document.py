"""Turn the blocks of a document (headings, paragraphs, table rows) into records: shared by all readers of running text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.languages import language
from endonym.data.scripts import count_scripts
from endonym.errors import DataError, Problem
from endonym.ingest.bilingual import Sides, find_sides
from endonym.ingest.ids import Ids
from endonym.ingest.names import split_name
from endonym.ingest.verses import Verses
from endonym.types import Doc, Drop, Pair, Record

LOOK_AHEAD = 200
"""Blocks looked at before it is said whether a text is in numbered verses."""
LEAST_LETTERS = 12
"""Letters from which the script of a paragraph tells its language."""
ROWS_AHEAD = 40
"""Rows of a table looked at before its columns are told."""


class Settings(BaseModel):
    """Settings that all readers of documents have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language, when the file's name does not say it; the project's when empty.")
    pivot: str = Field("", description="Pivot language, so that its code is understood in a file's name.")
    written_in: str = Field(
        "", description="Language the text is in, when it is the pivot and no name or mark says so."
    )
    document: str = Field("", description="Name of the document; the file's name when empty.")
    parallel: bool = Field(False, description="Whether files of one name in several languages translate each other.")
    tables: bool = Field(True, description="Make sentence pairs of tables with a column in each of the two languages.")
    verses: bool | None = Field(
        None, description="Whether paragraphs begin with verse numbers (3:16); found when not set."
    )


@dataclass(frozen=True)
class Block:
    """A heading, a paragraph, or a row of a table."""

    place: int | str
    """Line in the file, or the number of the paragraph or page."""
    text: str = ""
    level: int = 0
    """Level of a heading, 0 for none."""
    drop: str = ""
    """Why it is no running text, such as `header`; empty for text."""
    detail: str = ""
    language: str = ""
    """Where the document itself says it; else that of the document."""
    table: int = 0
    """Number of the table this row is in, 0 for none."""
    cells: tuple[tuple[str, ...], ...] = ()
    """The paragraphs of each cell of a row."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Further meta of the record: `page`, `section`."""


def records(
    path: Path, reader: str, blocks: Iterable[Block], cfg: Settings, declared: str = "", empty: str = ""
) -> Iterator[Record | Drop]:
    """Yield a `Doc` for every heading and paragraph in order, and a `Pair` for every row of a table in both languages.

    `declared` is the language the document names; it counts when it is one of the project's two. What a reader marked as no
    running text goes to the ledger as `<reader>.<reason>`. Raises DataError, with `empty` as its repair, when nothing is left.
    """
    maker = _Maker(path, reader, cfg, declared)
    stream = iter(blocks)
    ahead = list(islice(stream, LOOK_AHEAD))
    maker.verses.look(block.text for block in ahead if block.text and not block.drop and not block.level)
    kept = 0
    for number, run in groupby(chain(ahead, stream), key=lambda block: block.table):
        for item in (maker.table if number else maker.several)(run):
            kept += not isinstance(item, Drop)
            yield item
    if not kept:
        repair = empty or "open it and check that it has text; save it again"
        raise DataError(Problem(path.name, 0, "", "there is no text in this document", repair))


def texts(blocks: Iterable[Block]) -> Iterator[str]:
    """The running text of blocks in order, cell by cell where they are rows of a table."""
    for block in blocks:
        if not block.drop:
            yield from (text for cell in block.cells for text in cell) if block.cells else (block.text,)


class _Maker:
    """Counts parts and remembers section and verse while the blocks of one document go by."""

    def __init__(self, path: Path, reader: str, cfg: Settings, declared: str):
        name, code = split_name(path, cfg.language, cfg.pivot)
        self.path, self.reader, self.cfg = path, reader, cfg
        self.name = cfg.document or (name if cfg.parallel else path.stem)
        self.code = code or own(declared, cfg) or cfg.written_in or cfg.language
        self.meta: dict[str, Any] = {"document": self.name, **({"parallel": self.name} if cfg.parallel else {})}
        other = cfg.pivot if self.code == cfg.language else cfg.language
        apart = {*language(self.code).scripts}.isdisjoint(language(other).scripts or language(self.code).scripts)
        self.other = other if apart and language(self.code).scripts else ""
        """The other of the two languages, when the two share no script."""
        self.ids, self.part, self.section = Ids(), 0, ""
        self.verses = Verses(cfg.verses)

    def one(self, block: Block) -> Iterator[Record | Drop]:
        if not block.text and not block.drop:
            return
        if not block.text.strip() and not block.drop:
            block = replace(block, drop="blank", detail="no-break spaces alone")
        self.part += 1
        about = {**self.meta, "part": self.part, **block.about}
        text = block.text
        if block.drop:
            pass
        elif block.level:
            self.section, about["heading"] = block.text, block.level
        else:
            if self.section:
                about.setdefault("section", self.section)
            text, verse = self.verses.cut(text)
            if verse:
                about["verse"] = verse
        code = own(block.language, self.cfg) or self._by_script(text)
        if code != self.code and not about.get("parallel"):
            # Two languages in one document are translations of each other only where something says so.
            about["document"] = f"{self.name} ({code})"
        doc = Doc(self.ids("doc", code, self.name, text), text, code, f"{self.path.name}:{block.place}", about)
        yield Drop(doc, f"{self.reader}.{block.drop}", block.detail) if block.drop else doc

    def _by_script(self, text: str) -> str:
        """The document's language, or the other one of the two when only that is written in the letters of the text."""
        if not self.other:
            return self.code
        scripts = count_scripts(text)
        script, number = scripts.most_common(1)[0] if scripts else ("", 0)
        sure = number >= LEAST_LETTERS and number > 0.9 * scripts.total() and script in language(self.other).scripts
        return self.other if sure else self.code

    def several(self, blocks: Iterator[Block]) -> Iterator[Record | Drop]:
        for block in blocks:
            yield from self.one(block)

    def table(self, rows: Iterator[Block]) -> Iterator[Record | Drop]:
        ahead = list(islice(rows, ROWS_AHEAD))
        texts = [[" ".join(cell) for cell in row.cells] for row in ahead if row.cells]
        sides = find_sides(texts, self.cfg.language, self.cfg.pivot) if self.cfg.tables else None
        head = next((row for row in ahead if row.cells), None)
        for row in chain(ahead, rows):
            if row.text:
                yield from self.one(replace(row, table=0))
            for cell in () if sides else row.cells:
                for text in cell:
                    yield from self.one(replace(row, text=text, cells=(), table=0))
            if sides and sides.header and row is head:
                for cell in row.cells:
                    yield from self.one(_left_out(row, cell, "table_head", "names of columns"))
            elif sides and row.cells:
                yield from self._pairs(row, sides)

    def _pairs(self, row: Block, sides: Sides) -> Iterator[Record | Drop]:
        """Pairs of one row; a paragraph for a paragraph where both cells have as many."""
        cells = dict(enumerate(row.cells))
        first, second = cells.pop(sides.text, ()), cells.pop(sides.translation, ())
        if len(first) != len(second):
            first, second = (("\n".join(cell),) if cell else ("",) for cell in (first, second))
        cfg, origin = self.cfg, f"{self.path.name}:{row.place}"
        for text, translation in zip(first, second):
            self.part += 1
            about = {"document": self.name, "part": self.part, **({"section": self.section} if self.section else {})}
            ident = self.ids("pair", cfg.language, text, cfg.pivot, translation)
            pair = Pair(ident, text, translation, cfg.language, cfg.pivot, origin, {**about, **row.about})
            if text and translation:
                yield pair
            elif text or translation:
                yield Drop(pair, f"{self.reader}.one_side", "one of the two cells is empty")
        for number, cell in cells.items():
            detail = f"column {number + 1} is in neither of the two languages"
            yield from self.one(_left_out(row, cell, "table_column", detail))


def _left_out(row: Block, cell: tuple[str, ...], reason: str, detail: str) -> Block:
    text = " ".join(cell)
    return replace(row, cells=(), table=0, text=text, drop=reason if text else "", detail=detail)


def own(declared: str, cfg: Settings) -> str:
    """A declared language when it is one of the project's two, else `""`: others are often a template's default."""
    code = language(declared).code if declared else ""
    return code if code in (cfg.language, cfg.pivot) else ""
