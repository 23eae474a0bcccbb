"""Read a dictionary from a CSV, TSV, JSON or JSONL table, or from linked tables of entries, senses and examples."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym.errors import DataError, Problem
from endonym.ingest.columns import guess, language_of, need
from endonym.ingest.ids import Ids
from endonym.ingest.table import Row, find_layout, is_json, rows, usable
from endonym.types import Doc, Drop, Entry, Pair, Record, Sense, record_id

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".csv", ".tsv", ".json", ".jsonl")
MOST_WORDS = 2
"""Median number of words a cell up to which a table of two languages is a word list."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Entries(_Table):
    """Columns of the table of entries, or of the only table."""

    id: str = Field("", description="Column with the key that other tables refer to.")
    headword: str = Field("", description="Column with the headword; guessed from the names when empty.")
    part_of_speech: str = Field("", description="Column with the part of speech; none when empty.")
    definition: str = Field("", description="Column with the definition or translation.")
    example: str = Field("", description="Column with an example sentence in the language.")
    example_translation: str = Field("", description="Column with the translation of the example.")


class Senses(_Table):
    """The linked table of senses."""

    file: str = Field("", description="Its file name, beside the table of entries; none when empty.")
    id: str = Field("", description="Column with the key of the sense.")
    entry: str = Field("", description="Column with the key of the entry, or keys.")
    definition: str = Field("", description="Column with the definition.")


class Examples(_Table):
    """The linked table of example sentences."""

    file: str = Field("", description="Its file name, beside the table of entries; none when empty.")
    sense: str = Field("", description="Column with the key of the sense, or keys.")
    entry: str = Field(
        "", description="Column with the key of the entry, or keys; used where there is no sense column."
    )
    text: str = Field("", description="Column with the sentence in the language.")
    translation: str = Field("", description="Column with its translation.")
    dialect: str = Field("", description="Column with the dialect, kept with the sentence; none when empty.")


class Config(BaseModel):
    """Settings of reading a dictionary."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language of headwords and examples; the project's when empty.")
    pivot: str = Field("", description="Language of definitions and translations; the project's pivot when empty.")
    encoding: str = Field("", description="Encoding of the files; found when empty.")
    delimiter: str = Field("", description="Character between fields; found when empty.")
    entries: Entries = Field(Entries(), description="Columns of the table of entries, or of the only table.")
    senses: Senses = Field(Senses(), description="The linked table of senses, with its columns.")
    examples: Examples = Field(Examples(), description="The linked table of examples, with its columns.")
    where: dict[str, str] = Field({}, description="Use only rows that have these values in these columns.")
    separator: str = Field(";", description="Character between several keys in one cell.")
    definition_separator: str = Field(
        "", description="Text between several senses in one definition cell; one sense when empty."
    )
    bad_rows: Literal["error", "ledger"] = Field(
        "error", description="What a malformed row does: stop with the list of all, or go to the ledger."
    )


def sniff(sample: Sample) -> float:
    """High where a column is named as a headword is; the linked tables of a dictionary too."""
    columns = sample.columns
    if not columns or guess(columns, "messages"):
        return 0.0
    if guess(columns, "headword"):
        return 0.9 if guess(columns, "definition") or guess(columns, "id") else 0.4
    if len({language_of(column) for column in columns} - {""}) >= 2:
        # A word list: two languages, and what stands in them are words rather than sentences.
        words = [len(str(v).split()) for c in columns if language_of(c) for v in sample.column(c)]
        return 0.9 if sample.layout and words and statistics.median(words) <= MOST_WORDS else 0.0
    if guess(columns, "definition") and guess(columns, "entry_link"):
        return 0.8
    return 0.8 if guess(columns, "example") and guess(columns, "sense_link") else 0.0


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield an `Entry` for every entry, then a `Pair` for every example with the entry ids and headwords it belongs to.

    Called with a file that is the senses or examples of another, it yields nothing: they are read with their entries.
    """
    if path.name in (cfg.senses.file, cfg.examples.file):
        return
    cfg = resolved(path, cfg)
    book = _Book(path, cfg)
    if cfg.senses.file:
        yield from _senses(book)
    yield from _entries(book)
    if cfg.examples.file:
        yield from _examples(book)
    if book.problems:
        raise DataError(
            book.problems, 'Repair the rows, or set bad_rows = "ledger" to leave them out with a record of it.'
        )


def resolved(path: Path, cfg: Config) -> Config:
    """Fill every empty column name in by guessing. Raises DataError for a column that must be there and is not."""
    columns = names(path, cfg)
    cut = cfg.entries
    headword = cut.headword or guess(columns, "headword") or _column_of(columns, cfg.language)
    headword = need(path, columns, headword, "the headword", "entries.headword")
    linked = bool(cfg.senses.file)
    definition = cut.definition or (
        "" if linked else guess(columns, "definition", [headword]) or _column_of(columns, cfg.pivot, headword)
    )
    if not linked:
        definition = need(path, columns, definition, "the definition", "entries.definition")
    example = cut.example or ("" if cfg.examples.file else guess(columns, "example", [headword, definition]))
    translation = cut.example_translation
    if example and not translation:
        translation = guess(columns, "example_translation", [headword, definition, example])
    entries = Entries(
        id=_given(path, columns, cut.id, "entries.id") or guess(columns, "id", [headword]),
        headword=headword,
        part_of_speech=_given(path, columns, cut.part_of_speech, "entries.part_of_speech")
        or guess(columns, "part_of_speech", [headword, definition]),
        definition=definition,
        example=_given(path, columns, example, "entries.example"),
        example_translation=_given(path, columns, translation, "entries.example_translation"),
    )
    for column in cfg.where:
        need(path, columns, column, "this", "where")
    made = {"entries": entries, "senses": _resolve_senses(path, cfg), "examples": _resolve_examples(path, cfg)}
    return cfg.model_copy(update=made)


def names(path: Path, cfg: Config) -> list[str]:
    """Column names of a table; for JSON the keys of its first hundred objects."""
    if not is_json(path):
        return list(find_layout(path, cfg.encoding, cfg.delimiter).header)
    found: dict[str, None] = {}
    for number, row in enumerate(rows(path, cfg.encoding)):
        if isinstance(row, Row):
            found.update(dict.fromkeys(row.values))
        if number >= 100:
            break
    return list(found)


def _resolve_senses(path: Path, cfg: Config) -> Senses:
    given = cfg.senses
    if not given.file:
        return given
    other = _beside(path, given.file, "senses.file")
    columns = names(other, cfg)
    entry = need(other, columns, given.entry or guess(columns, "entry_link"), "the entry's key", "senses.entry")
    definition = given.definition or guess(columns, "definition", [entry])
    return Senses(
        file=given.file,
        id=_given(other, columns, given.id, "senses.id") or guess(columns, "id", [entry]),
        entry=entry,
        definition=need(other, columns, definition, "the definition", "senses.definition"),
    )


def _resolve_examples(path: Path, cfg: Config) -> Examples:
    given = cfg.examples
    if not given.file:
        return given
    other = _beside(path, given.file, "examples.file")
    columns = names(other, cfg)
    sense = _given(other, columns, given.sense, "examples.sense") or guess(columns, "sense_link")
    entry = _given(other, columns, given.entry, "examples.entry") or guess(columns, "entry_link", [sense])
    if not sense and not entry:
        need(other, columns, "", "the key of its sense or entry", "examples.sense")
    text = given.text or guess(columns, "example", [sense, entry])
    translation = given.translation or guess(columns, "example_translation", [text])
    return Examples(
        file=given.file, sense=sense, entry=entry,
        text=need(other, columns, text, "the example sentence", "examples.text"),
        translation=need(other, columns, translation, "its translation", "examples.translation"),
        dialect=_given(other, columns, given.dialect, "examples.dialect") or guess(columns, "dialect"),
    )  # fmt: skip


def _beside(path: Path, name: str, setting: str) -> Path:
    other = path.with_name(name)
    if not other.is_file():
        raise DataError(
            Problem(path.name, 0, setting, f"the table {name} is not beside it", "put it there, or correct the name")
        )
    return other


def _given(path: Path, columns: list[str], wanted: str, setting: str) -> str:
    return need(path, columns, wanted, "", setting) if wanted else ""


def _column_of(columns: list[str], language: str, taken: str = "") -> str:
    return next((c for c in columns if c != taken and language and language_of(c) == language), "")


@dataclass
class _Book:
    """What is known of a dictionary while its tables are read."""

    path: Path
    cfg: Config
    ids: Ids = field(default_factory=Ids)
    senses: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    """Entry key -> (sense key, definition), in file order."""
    sense_lines: dict[str, int] = field(default_factory=dict)
    entries: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Entry key -> (record id, headword)."""
    of_sense: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Sense key -> entry keys."""
    problems: list[Problem] = field(default_factory=list)

    def rows(self, path: Path) -> Iterator[Row | Drop]:
        layout = None if is_json(path) else find_layout(path, self.cfg.encoding, self.cfg.delimiter)
        return usable(rows(path, self.cfg.encoding, layout), self.cfg.bad_rows, "lexicon")

    def keys(self, value: Any) -> list[str]:
        """The keys in a cell that may hold several."""
        parts = value if isinstance(value, list) else str(value or "").split(self.cfg.separator)
        return [str(part).strip() for part in parts if str(part).strip()]

    def bad(self, path: Path, row: Row, column: str, what: str, repair: str) -> Iterator[Drop]:
        """A row that is well formed and says something impossible."""
        if self.cfg.bad_rows == "ledger":
            raw = " | ".join(f"{key}: {value}" for key, value in row.values.items() if value)
            origin = f"{path.name}:{row.line}"
            yield Drop(Doc(record_id(origin, raw), raw, "", origin), "lexicon.bad_row", f"{column}: {what}")
        else:
            self.problems.append(Problem(path.name, row.line, column, what, repair))


def _senses(book: _Book) -> Iterator[Drop]:
    columns = book.cfg.senses
    path = book.path.with_name(columns.file)
    for row in book.rows(path):
        if isinstance(row, Drop):
            yield row
            continue
        definition = plain_links(_cell(row, columns.definition))
        keys = book.keys(row.values.get(columns.entry))
        if not keys:
            yield from book.bad(
                path, row, columns.entry, "no entry is named", "write the key of the entry this belongs to"
            )
        key = _cell(row, columns.id) if columns.id else ""
        for entry in keys:
            book.senses[entry].append((key, definition))
            book.sense_lines.setdefault(entry, row.line)
            if key:
                book.of_sense[key].append(entry)


def _entries(book: _Book) -> Iterator[Record | Drop]:
    columns, cfg = book.cfg.entries, book.cfg
    used = set()
    for row in book.rows(book.path):
        if isinstance(row, Drop):
            yield row
            continue
        headword, key = _cell(row, columns.headword), _cell(row, columns.id) if columns.id else ""
        other = next((c for c, v in cfg.where.items() if str(row.values.get(c, "")) != v), "")
        if not headword:
            yield from book.bad(
                book.path, row, columns.headword, "the headword is empty", "write it, or delete the row"
            )
            continue
        if key and key in book.entries:
            yield from book.bad(
                book.path, row, columns.id, f"the key '{key}' is used twice", "give each entry a key of its own"
            )
            continue
        used.add(key)
        senses = _own_senses(row, book, key)
        ident = book.ids("entry", cfg.language, key or headword, *(() if key else (s.definition for s in senses)))
        origin = f"{book.path.name}:{row.line}"
        entry = Entry(
            ident,
            headword,
            cfg.language,
            senses,
            origin,
            _cell(row, columns.part_of_speech),
            {"key": key} if key else {},
        )
        if other:
            yield Drop(
                entry, "lexicon.other_value", f"{other} is '{row.values.get(other, '')}', not '{cfg.where[other]}'"
            )
            continue
        if key:
            book.entries[key] = (ident, headword)
        yield entry
        yield from _own_example(row, book, entry)
    lost = [(key, line) for key, line in book.sense_lines.items() if key not in used]
    for key, line in lost:
        row = Row(line, {"entry": key, "definitions": "; ".join(text for _, text in book.senses[key])})
        yield from book.bad(book.path.with_name(cfg.senses.file), row, cfg.senses.entry, f"there is no entry '{key}'",
                            "correct the key, or add the entry")  # fmt: skip


def _own_senses(row: Row, book: _Book, key: str) -> tuple[Sense, ...]:
    pivot, column = book.cfg.pivot, book.cfg.entries.definition
    found = [text for _, text in book.senses.get(key, ())] if key else []
    value = row.values.get(column) if column else None
    if isinstance(value, list):
        found += [plain_links(_words(item)) for item in value]
    elif value:
        mark = book.cfg.definition_separator
        found += [plain_links(part.strip()) for part in (str(value).split(mark) if mark else [str(value)])]
    return tuple(Sense(text, pivot) for text in found if text.strip())


def _own_example(row: Row, book: _Book, entry: Entry) -> Iterator[Pair]:
    columns, cfg = book.cfg.entries, book.cfg
    text, translation = _cell(row, columns.example), _cell(row, columns.example_translation)
    if text and translation:
        meta = {"entry": entry.id, "entries": [entry.id], "headwords": [entry.headword]}
        ident = book.ids("example", cfg.language, text, cfg.pivot, translation)
        yield Pair(ident, text, translation, cfg.language, cfg.pivot, entry.origin, meta)


def _examples(book: _Book) -> Iterator[Record | Drop]:
    columns, cfg = book.cfg.examples, book.cfg
    path = book.path.with_name(columns.file)
    for row in book.rows(path):
        if isinstance(row, Drop):
            yield row
            continue
        text, translation = plain_links(_cell(row, columns.text)), plain_links(_cell(row, columns.translation))
        if columns.sense:
            senses = book.keys(row.values.get(columns.sense))
            keys = [entry for sense in senses for entry in book.of_sense.get(sense, ())]
            lost = [sense for sense in senses if sense not in book.of_sense]
        else:
            keys, lost = book.keys(row.values.get(columns.entry)), []
        linked = {key: book.entries[key] for key in keys if key in book.entries}
        lost += [key for key in keys if key not in book.entries]
        if lost and not linked:
            column = columns.sense or columns.entry
            yield from book.bad(
                path,
                row,
                column,
                f"it belongs to '{lost[0]}', which is not there",
                "correct the key, or add what it names",
            )
            continue
        meta: dict[str, Any] = {}
        if linked:
            meta = {"entry": next(iter(linked.values()))[0], "entries": [ident for ident, _ in linked.values()],
                    "headwords": list(dict.fromkeys(word for _, word in linked.values()))}  # fmt: skip
        if columns.dialect and _cell(row, columns.dialect):
            meta["dialect"] = _cell(row, columns.dialect)
        pair = Pair(book.ids("example", cfg.language, text, cfg.pivot, translation), text, translation, cfg.language,
                    cfg.pivot, f"{path.name}:{row.line}", meta)  # fmt: skip
        yield (
            pair if text and translation else Drop(pair, "lexicon.one_side", "the sentence or its translation is empty")
        )


def plain_links(text: str) -> str:
    """Render links of the dictionary as their words: `véase [te](TSE58261)` gives `véase te`."""
    return re.sub(r"\[([^\[\]]*)\]\([^()\s]*\)", r"\1", text)


def _cell(row: Row, column: str) -> str:
    return _words(row.values.get(column)) if column else ""


def _words(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return "; ".join(_words(item) for item in value.values() if item)
    if isinstance(value, list):
        return "; ".join(_words(item) for item in value if item)
    return str(value).strip()
