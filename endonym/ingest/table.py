"""Rows of a table in a file, each with its line number, and every malformed row as a problem with its repair."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from endonym.errors import DataError, Problem
from endonym.ingest.encoding import MAX_LINE, lines, whole_text
from endonym.ingest.packing import bare_name
from endonym.types import Doc, Drop, record_id

DELIMITERS = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "vertical bar"}
MAX_PROBLEMS = 200
_MAX_ROW_LINES = 500
"""A quoted field over more lines than this is taken for a quote that is never closed."""


@dataclass(frozen=True)
class Row:
    """One row: its line in the file and its values by column name."""

    line: int
    values: dict[str, Any]


@dataclass(frozen=True)
class Bad:
    """One row that cannot be used: what is wrong, and the text as it stands."""

    problem: Problem
    raw: str


@dataclass(frozen=True)
class Layout:
    """How a delimited file is written."""

    delimiter: str
    quoted: bool
    header: tuple[str, ...]
    has_header: bool = True
    skip: int = 0
    """Lines before the table: the `sep=;` that Excel writes."""


def is_json(path: Path) -> bool:
    """Whether the name says JSON or JSONL."""
    return bare_name(path).suffix.lower() in (".json", ".jsonl", ".ndjson")


def rows(path: Path, encoding: str = "", layout: Layout | None = None, items: str = "") -> Iterator[Row | Bad]:
    """Stream the rows of a CSV, TSV, JSON or JSONL file; `layout` is found when it is not given. Raises DataError.

    `items` is the dotted path of the list of objects in a JSON file, which is found when it is not given.
    """
    if bare_name(path).suffix.lower() == ".json":
        return _json_rows(path, encoding, items)
    if is_json(path):
        return _jsonl_rows(path, encoding)
    return _delimited_rows(path, encoding, layout or find_layout(path, encoding))


def find_layout(
    path: Path, encoding: str = "", delimiter: str = "", header: bool | None = None, wanted: Iterable[str] = ()
) -> Layout:
    """Find delimiter, quoting and header from the head of the file; what the user set is taken as it is.

    The delimiter is the one that cuts most rows into the same number (over one) of fields. Quotes count as text in a
    tab-separated file unless the rows only come out even when they are read as quoting. The first row is a header when it
    has one of the `wanted` columns, or looks like one.
    """
    head = _head(path, encoding)
    said = re.fullmatch(r"sep=(\W)", head[0].strip("\ufeff\r\n ")) if len(head) > 1 else None
    if said:
        return replace(_layout(path, head[1:], delimiter or said[1], header, wanted), skip=1)
    return _layout(path, head, delimiter, header, wanted)


def _layout(path: Path, head: list[str], delimiter: str, header: bool | None, wanted: Iterable[str]) -> Layout:
    best: tuple[float, Layout] | None = None
    for mark in [delimiter] if delimiter else DELIMITERS:
        for quoted in (False, True) if mark == "\t" else (True,):
            try:
                cells = list(csv.reader(head, **_dialect(mark, quoted)))
            except csv.Error:
                cells = [line.rstrip("\r\n").split(mark) for line in head]
                if quoted:
                    # Most rows may still be sound: the row reader finds the broken one and names its line.
                    cells = [row for line in head for row in _lenient(line, mark)]
            cells = [row for row in cells if row]
            if not cells:
                continue
            width, count = Counter(map(len, cells)).most_common(1)[0]
            even = count / len(cells) if width > 1 else 0.0
            if best is None or even > best[0] + 1e-9:
                best = (even, Layout(mark, quoted, tuple(cells[0])))
    if best is None or (best[0] < 0.5 and not delimiter):
        if best is not None and all(len(line.split(",")) == 1 for line in head):
            return _named(path, Layout(",", True, (head[0].strip("\r\n"),)), header, wanted)
        raise DataError(Problem(path.name, 1, "", "no delimiter cuts the lines into the same number of fields",
                                'name it in the source\'s settings (delimiter = ";"), or use another reader', ))  # fmt: skip
    return _named(path, best[1], header, wanted)


def _named(path: Path, layout: Layout, header: bool | None, wanted: Iterable[str]) -> Layout:
    has = _looks_like_header(layout.header) or bool({cell.strip() for cell in layout.header} & set(wanted))
    has = has if header is None else header
    width = len(layout.header)
    if not has:
        return Layout(layout.delimiter, layout.quoted, tuple(f"column {i}" for i in range(1, width + 1)), False)
    names = tuple(name.strip().lstrip("\ufeff") or f"column {i}" for i, name in enumerate(layout.header, 1))
    twice = [name for name, number in Counter(names).items() if number > 1]
    if twice:
        raise DataError(
            [Problem(path.name, 1, name, "two columns have this name", "rename one of them") for name in twice]
        )
    return Layout(layout.delimiter, layout.quoted, names, True)


def _looks_like_header(cells: Sequence[str]) -> bool:
    """Whether the first row names columns: a cell of three letters or more is a name that columns have, or all cells are.

    Two-letter codes are also words (`es`, `no`, `a`), so one of them alone does not make a header.
    """
    from endonym.ingest.columns import is_column_name

    named = [cell for cell in cells if is_column_name(cell)]
    return (len(named) == len(cells) or any(len(cell.strip()) > 2 for cell in named)) and all(
        len(c) <= 60 for c in cells
    )


def _head(path: Path, encoding: str, most: int = 200) -> list[str]:
    head: list[str] = []
    for _, line in lines(path, encoding):
        head.append(line)
        if len(head) == most:
            break
    return head


def _lenient(line: str, delimiter: str) -> Iterator[list[str]]:
    try:
        yield next(csv.reader([line], **_dialect(delimiter, True)))
    except (csv.Error, StopIteration):
        return


def _dialect(delimiter: str, quoted: bool) -> dict[str, Any]:
    csv.field_size_limit(MAX_LINE)
    if quoted:
        return {"delimiter": delimiter, "strict": True, "doublequote": True}
    return {"delimiter": delimiter, "quoting": csv.QUOTE_NONE, "strict": True}


class _Feed:
    """Lines for the csv module that remember which of them the current row has used, so that a broken row can be left."""

    def __init__(self, source: Iterator[tuple[int, str]]):
        self.source = source
        self.waiting: list[tuple[int, str]] = []
        self.used: list[tuple[int, str]] = []
        self.size = 0

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        number, line = self.waiting.pop(0) if self.waiting else next(self.source)
        self.used.append((number, line))
        self.size += len(line)
        if len(self.used) > _MAX_ROW_LINES or self.size > MAX_LINE:
            raise csv.Error("unexpected end of data")
        return line

    def leave(self) -> None:
        """Give back all lines but the first one the broken row used."""
        self.waiting = self.used[1:] + self.waiting
        self.start()

    def start(self) -> None:
        self.used, self.size = [], 0


def _delimited_rows(path: Path, encoding: str, layout: Layout) -> Iterator[Row | Bad]:
    feed = _Feed(islice(lines(path, encoding), layout.skip, None))
    dialect = _dialect(layout.delimiter, layout.quoted)
    reader = csv.reader(feed, **dialect)
    first = layout.has_header
    while True:
        feed.start()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            number, raw = feed.used[0]
            yield Bad(_csv_problem(path, number, raw, str(error), layout), raw.rstrip("\r\n"))
            feed.leave()
            reader = csv.reader(feed, **dialect)
            continue
        if first:
            first = False
        elif cells:
            line = feed.used[0][0]
            if len(cells) == len(layout.header):
                yield Row(line, dict(zip(layout.header, cells)))
            else:
                raw = "".join(text for _, text in feed.used).rstrip("\r\n")
                yield Bad(_width_problem(path, line, cells, layout), raw)


def _csv_problem(path: Path, line: int, raw: str, error: str, layout: Layout) -> Problem:
    before = raw[: raw.rfind('"')].count(layout.delimiter) if '"' in raw else 0
    field = layout.header[min(before, len(layout.header) - 1)]
    if "end of data" in error:
        return Problem(path.name, line, field, "a quote opens here and is never closed",
                       'close the field with ", or write a quote that is part of the text twice ("")')  # fmt: skip
    if "expected after" in error:
        return Problem(path.name, line, field, "text after a closing quote",
                       'write a quote that is part of the text twice ("") inside a quoted field')  # fmt: skip
    return Problem(path.name, line, field, error, "write the row again as the other rows are")


def _width_problem(path: Path, line: int, cells: list[str], layout: Layout) -> Problem:
    have, want = len(cells), len(layout.header)
    mark = DELIMITERS.get(layout.delimiter, layout.delimiter)
    if have < want:
        repair = f"add the missing {'field' if want - have == 1 else 'fields'}, empty if there is no value"
        return Problem(path.name, line, layout.header[have], f"the row has {have} fields, the header {want}", repair)
    quote = " or put the field in quotes" if layout.quoted else ""
    repair = f"take out the surplus {mark}{quote}"
    return Problem(path.name, line, layout.header[-1], f"the row has {have} fields, the header {want}", repair)


def _jsonl_rows(path: Path, encoding: str) -> Iterator[Row | Bad]:
    for number, line in lines(path, encoding):
        text = line.strip().lstrip("\ufeff")
        if not text:
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            what = f"not JSON: {error}"
            yield Bad(Problem(path.name, number, "", what, "write one JSON object a line"), text)
            continue
        if isinstance(value, dict):
            yield Row(number, _flat(value))
        else:
            what = f"a {type(value).__name__}, not an object"
            yield Bad(Problem(path.name, number, "", what, 'write one JSON object a line, {"field": "value"}'), text)


def _flat(value: dict[str, Any]) -> dict[str, Any]:
    """`{"translation": {"spa": "...", "tzh": "..."}}`, as data sets of translations are published, with a field a language."""
    from endonym.ingest.columns import guess, language_of

    inner = value.get("translation")
    if not isinstance(inner, dict) or len(inner) < 2 or guess(value, "headword"):
        return value
    if not all(isinstance(text, str) and language_of(key) and key not in value for key, text in inner.items()):
        return value
    return {**{key: item for key, item in value.items() if key != "translation"}, **inner}


def _json_rows(path: Path, encoding: str, wanted: str = "") -> Iterator[Row | Bad]:
    """Objects of a JSON array, of the one array inside an object, or of an object of headword and definition."""
    text = whole_text(path, encoding).lstrip("\ufeff")
    try:
        value = json.loads(text)
    except RecursionError:
        raise DataError(Problem(path.name, 0, "", "nested too deep", "write a list of objects")) from None
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and "\n" in text.strip():
            yield from _jsonl_rows(path, encoding)
            return
        raise DataError(Problem(path.name, error.lineno, "", f"not JSON: {error.msg}, column {error.colno}",
                                "repair the JSON there; a comma or a closing bracket is often missing")) from None  # fmt: skip
    if wanted:
        value = _wanted(path, value, wanted)
    elif isinstance(value, dict):
        arrays = [item for item in value.values() if isinstance(item, list) and item and isinstance(item[0], dict)]
        deeper = [] if arrays else _arrays(value)
        if len(arrays) == 1 or len(deeper) == 1:
            value = (arrays or deeper)[0]
        elif value and all(isinstance(item, str | list) for item in value.values()):
            value = [{"headword": key, "definition": item} for key, item in value.items()]
        else:
            value = [value]
    for number, item in enumerate(value if isinstance(value, list) else [value], 1):
        if isinstance(item, dict):
            yield Row(number, _flat(item))
        else:
            what = f"item {number} is a {type(item).__name__}, not an object"
            yield Bad(Problem(path.name, 0, "", what, "write a list of objects"), json.dumps(item, ensure_ascii=False))


def _wanted(path: Path, value: Any, wanted: str) -> Any:
    from endonym.ingest.nested import at, paths

    found = at(value, wanted) if isinstance(value, dict) else None
    if not isinstance(found, list):
        known = ", ".join(paths(value)[:20]) if isinstance(value, dict) else "a list at the top"
        raise DataError(Problem(path.name, 0, "items", f"there is no list at '{wanted}'",
                                f"name the list of objects by its path; the file has: {known}"))  # fmt: skip
    return found


def _arrays(value: dict[str, Any]) -> list[list[Any]]:
    """Lists of objects inside the objects of an object that is only an envelope: it has no text of its own to be learned."""
    found: list[list[Any]] = []
    for item in value.values():
        if isinstance(item, dict):
            inner = [part for part in item.values() if isinstance(part, list) and part and isinstance(part[0], dict)]
            found += inner or _arrays(item)
    return found


def usable(items: Iterator[Row | Bad], bad_rows: str, reason: str) -> Iterator[Row | Drop]:
    """Pass the good rows on. Bad ones become ledger lines with `bad_rows="ledger"`, else one DataError that lists them all."""
    problems: list[Problem] = []
    surplus = 0
    for item in items:
        if isinstance(item, Row):
            yield item
        elif bad_rows == "ledger":
            problem = item.problem
            origin = f"{problem.file}:{problem.line}"
            where = f"{problem.field}: {problem.what}" if problem.field else problem.what
            yield Drop(Doc(record_id(origin, item.raw), item.raw, "", origin), f"{reason}.bad_row", where)
        elif len(problems) < MAX_PROBLEMS:
            problems.append(item.problem)
        else:
            surplus += 1
    if problems:
        more = f" {surplus} more rows are not listed." if surplus else ""
        hint = f'Repair the rows, or set bad_rows = "ledger" in the source\'s settings to leave them out with a record of it.{more}'
        raise DataError(problems, hint)
