"""Read a dictionary from a CSV, TSV, JSON or JSONL table, or from linked tables of entries, senses and examples."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.errors import DataError, Problem
from endonym.ingest.columns import guess, sides
from endonym.ingest.dictionary import Config, layout_of, resolved
from endonym.ingest.ids import Ids
from endonym.ingest.table import Row, is_json, rows, usable
from endonym.types import Doc, Drop, Entry, Pair, Record, Sense, record_id

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".csv", ".tsv", ".json", ".jsonl")
MOST_WORDS = 2
"""Median number of words a cell up to which a table of two languages is a word list."""


def sniff(sample: Sample) -> float:
    """High where a column is named as a headword is; the linked tables of a dictionary too."""
    columns = sample.columns
    if not columns or guess(columns, "messages"):
        return 0.0
    if guess(columns, "headword"):
        return 0.9 if guess(columns, "definition") or guess(columns, "id") else 0.4
    found = sides(columns)
    if len(found) >= 2 and sample.layout:
        # A word list: two languages, and what stands in them are words rather than sentences.
        words = [len(text.split()) for column in found for text in sample.column(column)]
        return 0.9 if words and statistics.median(words) <= MOST_WORDS else 0.0
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
        layout = None if is_json(path) else layout_of(path, self.cfg)
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
