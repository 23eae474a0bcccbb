"""Read a dictionary from a CSV, TSV, JSON or JSONL table, or from linked tables of entries, senses and examples."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from endonym.errors import DataError, Problem
from endonym.ingest.columns import guess, sides
from endonym.ingest.dictionary import Config, layout_of, resolved
from endonym.ingest.ids import Ids
from endonym.ingest.nested import Example, Other, examples, senses, words
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
    left_out: dict[str, str] = field(default_factory=dict)
    """Entry key -> why the entry is not used, for its examples to go with it."""
    fields: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """Entry key -> what stands in other columns of its senses, by column."""
    problems: list[Problem] = field(default_factory=list)

    def rest(self, row: Row, columns: BaseModel, into: dict[str, list[str]] | None = None) -> dict[str, list[str]]:
        """What stands in the columns of a row that play no part, when that is to be kept."""
        found = {} if into is None else into
        used = {*columns.model_dump().values(), *self.cfg.where}
        for name in row.values if self.cfg.keep_rest else ():
            if name not in used and _cell(row, name):
                found.setdefault(name, []).append(_cell(row, name))
        return found

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
            book.rest(row, columns, book.fields.setdefault(entry, {}))
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
        yield from _entry(row, book, headword, key, other)
    lost = [(key, line) for key, line in book.sense_lines.items() if key not in used]
    for key, line in lost:
        row = Row(line, {"entry": key, "definitions": "; ".join(text for _, text in book.senses[key])})
        yield from book.bad(book.path.with_name(cfg.senses.file), row, cfg.senses.entry, f"there is no entry '{key}'",
                            "correct the key, or add the entry")  # fmt: skip


def _entry(row: Row, book: _Book, headword: str, key: str, other: str) -> Iterator[Record | Drop]:
    """An entry and what stands in its row: its examples, and definitions in other languages."""
    columns, cfg = book.cfg.entries, book.cfg
    own = senses(row.values.get(columns.definition), cfg.pivot, cfg.definition_separator) if columns.definition else ()
    texts = [text for _, text in book.senses.get(key, ())] if key else []
    beside: list[Other | Example] = []
    for item in own:
        if isinstance(item, str):
            texts.append(plain_links(item))
        else:
            beside.append(item)
    meanings = tuple(Sense(text, cfg.pivot) for text in texts if text.strip())
    ident = book.ids("entry", cfg.language, key or headword, *(() if key else (s.definition for s in meanings)))
    origin = f"{book.path.name}:{row.line}"
    about: dict[str, Any] = {"key": key} if key else {}
    rest = book.rest(row, columns, book.fields.get(key))
    about |= {"fields": rest} if rest else {}
    entry = Entry(ident, headword, cfg.language, meanings, origin, _cell(row, columns.part_of_speech), about)
    reason = f"{other} is '{row.values.get(other, '')}', not '{cfg.where[other]}'" if other else ""
    yield Drop(entry, "lexicon.other_value", reason) if reason else entry
    if key and reason:
        book.left_out[key] = reason
    elif key:
        book.entries[key] = (ident, headword)
    if columns.example:
        translation = row.values.get(columns.example_translation)
        beside += examples(row.values.get(columns.example), translation, cfg.pivot)
    for item in beside:
        if isinstance(item, Other):
            doc = Doc(book.ids("other", headword, item.text), item.text, item.language, origin)
            yield Drop(doc, "lexicon.other_language", f"a definition in {item.language}, not {cfg.pivot}")
        else:
            linked = {"entry": entry.id, "entries": [entry.id], "headwords": [entry.headword]}
            yield _pair(book, item.text, item.translation, origin, linked, reason)


def _pair(
    book: _Book, text: str, translation: str, origin: str, meta: dict[str, Any], left_out: str = ""
) -> Pair | Drop:
    """An example; to the ledger when its entry is left out or one side is empty."""
    cfg, text, translation = book.cfg, plain_links(text), plain_links(translation)
    ident = book.ids("example", cfg.language, text, cfg.pivot, translation)
    pair = Pair(ident, text, translation, cfg.language, cfg.pivot, origin, meta)
    if left_out:
        return Drop(pair, "lexicon.other_value", f"its entry is left out: {left_out}")
    return pair if text and translation else Drop(pair, "lexicon.one_side", "the sentence or its translation is empty")


def _examples(book: _Book) -> Iterator[Record | Drop]:
    columns = book.cfg.examples
    path = book.path.with_name(columns.file)
    for row in book.rows(path):
        if isinstance(row, Drop):
            yield row
            continue
        text, translation, origin = _cell(row, columns.text), _cell(row, columns.translation), f"{path.name}:{row.line}"
        if columns.sense:
            senses = book.keys(row.values.get(columns.sense))
            keys = [entry for sense in senses for entry in book.of_sense.get(sense, ())]
            lost = [sense for sense in senses if sense not in book.of_sense]
        else:
            keys, lost = book.keys(row.values.get(columns.entry)), []
        left_out = next((book.left_out[key] for key in keys if key in book.left_out), "")
        linked = {key: book.entries[key] for key in keys if key in book.entries}
        lost += [key for key in keys if key not in book.entries and key not in book.left_out]
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
        rest = book.rest(row, columns)
        meta |= {"fields": rest} if rest else {}
        if columns.dialect and _cell(row, columns.dialect):
            meta["dialect"] = _cell(row, columns.dialect)
        yield _pair(book, text, translation, origin, meta, "" if linked else left_out)


def plain_links(text: str) -> str:
    """Render links of the dictionary as their words: `véase [te](TSE58261)` gives `véase te`."""
    return re.sub(r"\[([^\[\]]*)\]\([^()\s]*\)", r"\1", text)


def _cell(row: Row, column: str) -> str:
    return words(row.values.get(column)) if column else ""
