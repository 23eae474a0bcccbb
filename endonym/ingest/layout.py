"""Reading order of a page: pieces of text with their places become columns, lines and paragraphs.

Columns are found by the white space between them: rows of a page are taken together as long as one vertical gap runs through all
of them, a recursive cut of the page as in Nagy and Seth (Hierarchical representation of optically scanned documents, 1984).
"""

from __future__ import annotations

import re
import statistics
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import regex

LEAST_ROWS = (3, 6)
"""Rows that columns must go on for, on a page and inside a column: there, wide gaps between words may look like one."""
GUTTER = 0.35
"""Least width of the gap between columns, in heights of a line."""
OVERHANG = 0.4
"""How far a line may stand out into the gap, in heights of a line."""
LEAST_COLUMN = 0.15
"""Least width of a column as a share of the width of what is cut."""
LEAST_FILL = 0.5
"""Share of a column's width that its middle line fills; in a table the cells are shorter."""
TABLE = 0.7
"""Share of the lines of such a column that stand on one line with others: it is a table, and its rows are read across."""
_ENDS = regex.compile(r"[\p{Sentence_Break=STerm}\p{Sentence_Break=ATerm}…:።፨।॥؟۔][\p{Pe}\p{Pf}\"'”’»]*\s*\Z")
_HYPHEN = regex.compile(r"[\p{L}\p{M}](?:-|\u2010|\u00ad)\Z")
_SEPARATOR = regex.compile(r"[፡་༌]\Z")
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}、。]")
"""Scripts that put no space between words, and marks that stand for one."""
_GOES_ON = regex.compile(r"[\p{L}\p{M}]")


@dataclass(frozen=True)
class Line:
    """A piece of text on one line; `y` grows upwards as in PDF."""

    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    size: float
    """Size of its letters."""
    base: float
    """Height of the line that the letters stand on."""
    first: float = 0.0
    """Width of its first word."""

    @property
    def width(self) -> float:
        return self.x1 - self.x0


@dataclass
class Paragraph:
    """Lines that belong together, with the hyphens taken out at their ends."""

    text: str
    size: float
    open: bool = False
    """Whether it may go on in the next column or on the next page."""
    lines: int = 1
    joins: list[str] = field(default_factory=list)
    hyphens: list[str] = field(default_factory=list)


def rows_of(lines: Sequence[Line]) -> list[list[Line]]:
    """Lines side by side put into rows, from the top of the page to its foot, each from left to right."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda one: -one.base):
        if rows and rows[-1][0].base - line.base < 0.4 * max(line.size, rows[-1][0].size):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda one: one.x0) for row in rows]


def regions(lines: Sequence[Line], rtl: bool = False, depth: int = 0) -> list[list[Line]]:
    """The page cut into regions in reading order, each a list of whole lines from top to bottom."""
    rows = rows_of(lines)
    if not rows:
        return []
    found: list[list[Line]] = []
    plain: list[Line] = []
    start = 0
    while start < len(rows):
        stop, gaps = _band(rows, start, rtl)
        columns = _columns(rows[start:stop], gaps) if stop >= start + LEAST_ROWS[depth > 0] and depth < 4 else []
        if columns:
            found += [plain] if plain else []
            plain = []
            for column in reversed(columns) if rtl else columns:
                found += regions(column, rtl, depth + 1)
            start = stop
        else:
            plain.append(_joined(rows[start], rtl))
            start += 1
    return found + ([plain] if plain else [])


def _band(rows: Sequence[Sequence[Line]], start: int, rtl: bool) -> tuple[int, list[tuple[float, float]]]:
    """How far down from row `start` a gap runs through all rows, and the gaps that do."""
    left = min(line.x0 for row in rows for line in row) - 1
    right = max(line.x1 for row in rows for line in row) + 1
    gaps = [(left, right)]
    for stop in range(start, len(rows)):
        size = statistics.median(line.size for line in rows[stop])
        narrowed = [gap for gap in _cut(gaps, rows[stop], OVERHANG * size, rtl) if gap[1] - gap[0] >= GUTTER * size]
        if not narrowed:
            return stop, gaps
        gaps = narrowed
    return len(rows), gaps


def _cut(
    gaps: Sequence[tuple[float, float]], row: Sequence[Line], overhang: float, rtl: bool
) -> Iterator[tuple[float, float]]:
    """What a row leaves of the gaps. Lines may end a little inside one: cells of a table touch, and marks hang over."""
    spans = [(line.x0 + overhang * rtl, line.x1 - overhang * (not rtl)) for line in row]
    for low, high in gaps:
        for x0, x1 in spans:
            if x1 > low and x0 < high:
                if x0 > low:
                    yield low, x0
                low = x1
        if low < high:
            yield low, high


def _columns(rows: Sequence[Sequence[Line]], gaps: Sequence[tuple[float, float]]) -> list[list[Line]]:
    """The columns of a band of rows, none when it is a single one, or a table whose rows are read across."""
    lines = [line for row in rows for line in row]
    left, right = min(line.x0 for line in lines), max(line.x1 for line in lines)
    edges = [(low + high) / 2 for low, high in gaps if low > left and high < right]
    columns: list[list[Line]] = [[] for _ in range(len(edges) + 1)]
    for line in lines:
        columns[sum(line.x0 > edge for edge in edges)].append(line)
    columns = [column for column in columns if column]
    both = sum(len({sum(line.x0 > edge for edge in edges) for line in row}) > 1 for row in rows)
    if len(columns) < 2 or 2 * both < min(len(rows), 6):
        return []
    for column in columns:
        width = max(line.x1 for line in column) - min(line.x0 for line in column)
        fill = statistics.median(line.width for line in column) / width if width else 0.0
        if width < LEAST_COLUMN * (right - left) or (fill < LEAST_FILL and _level(column, lines) > TABLE):
            return []
    return columns


def _level(column: Sequence[Line], lines: Sequence[Line]) -> float:
    """Share of a column's lines that stand on one line with something beside the column."""
    own = set(map(id, column))
    others = [line.base for line in lines if id(line) not in own]
    return sum(any(abs(line.base - y) < 0.15 * line.size for y in others) for line in column) / len(column)


def _joined(row: Sequence[Line], rtl: bool) -> Line:
    order = list(reversed(row)) if rtl else list(row)
    if len(order) == 1:
        return order[0]
    text = order[0].text
    for line in order[1:]:
        # A mark that was set apart belongs to the letter before it.
        text += line.text if unicodedata.category(line.text[0]) == "Mn" else f" {line.text}"
    return Line(
        text, row[0].x0, min(line.y0 for line in row), row[-1].x1, max(line.y1 for line in row),
        max(line.size for line in row), row[0].base, order[0].first,
    )  # fmt: skip


def paragraphs(lines: Sequence[Line], known: dict[str, int], rtl: bool = False) -> list[Paragraph]:
    """The lines of one region as paragraphs. `known` counts words of the document, to tell hyphens that belong to a word.

    A paragraph ends where the first word of the next line would still have fitted, the line is indented, the distance or the size
    of the letters changes.
    """
    if not lines:
        return []
    begin = (lambda line: -line.x1) if rtl else (lambda line: line.x0)
    end = (lambda line: -line.x0) if rtl else (lambda line: line.x1)
    steps = [a.base - b.base for a, b in pairwise(lines) if 0 < a.base - b.base < 2.5 * a.size]
    # Most steps are from line to line; between short paragraphs the median may not be, the lower quarter is.
    step = sorted(steps)[len(steps) // 4] if steps else lines[0].size
    found: list[Paragraph] = []
    for number, line in enumerate(lines):
        before = lines[number - 1] if number else None
        # The edge of the text around: a summary or a quotation may be narrower than the column.
        edge = max(
            end(one) for one in lines[max(0, number - 4) : number + 4] if abs(begin(one) - begin(line)) <= 2 * line.size
        )
        if before is not None and _goes_on(before, line, begin, end, edge, step):
            _add(found[-1], line.text, known)
        else:
            found.append(Paragraph(line.text, line.size, hyphens=[], joins=[]))
        found[-1].open = edge - end(line) < 2 * line.size and not _ENDS.search(line.text)
    return found


def _goes_on(before: Line, line: Line, begin, end, edge: float, step: float) -> bool:  # type: ignore[no-untyped-def]
    size = max(before.size, line.size)
    if abs(before.size - line.size) > 0.15 * size or before.base - line.base > min(1.3 * step + 0.1 * size, 2.5 * size):
        return False
    if before.base < line.base:
        return False
    if _HYPHEN.search(before.text):
        return True
    shift = begin(line) - begin(before)
    if shift > 0.6 * size and (_ENDS.search(before.text) or shift < 4 * size):
        return False
    room = edge - end(before)
    # A line that ends early although the next word had room was meant to end there.
    return room < line.first + 0.8 * size


def _add(paragraph: Paragraph, text: str, known: dict[str, int]) -> None:
    """Put the next line behind a paragraph; a word cut at the line's end is put together again."""
    paragraph.lines += 1
    if not _HYPHEN.search(paragraph.text) or not _GOES_ON.match(text):
        unspaced = _SEPARATOR.search(paragraph.text) or (_UNSPACED.match(paragraph.text[-1]) and _UNSPACED.match(text))
        paragraph.text += text if unspaced else f" {text}"
        return
    first = re.search(r"[\w'’\u02bc\u02b9\u0300-\u036f]+$", paragraph.text[:-1])
    second = re.match(r"[\w'’\u02bc\u02b9\u0300-\u036f]+", text)
    head, tail = (first[0] if first else ""), (second[0] if second else "")
    if paragraph.text[-1] != "\u00ad" and _belongs(head, tail, known):
        paragraph.text += text
        return
    paragraph.hyphens.append(paragraph.text[-1])
    paragraph.joins.append(f"{head}{paragraph.text[-1]}{tail}")
    paragraph.text = paragraph.text[:-1] + text


def _belongs(head: str, tail: str, known: dict[str, int]) -> bool:
    """Whether a hyphen at a line's end is part of the word: before a capital, or where the document writes it so elsewhere."""
    if tail[:1].isupper() and not head.isupper():
        return True
    with_hyphen, without = (known.get(f"{head}{mark}{tail}".casefold(), 0) for mark in ("-", ""))
    return with_hyphen > without


def went_on(last: Paragraph, first: Paragraph, known: dict[str, int]) -> bool:
    """Put `first` behind `last` when one paragraph was cut by the end of a column or page; says whether it was."""
    if not last.open or abs(last.size - first.size) > 0.1 * last.size:
        return False
    if not _HYPHEN.search(last.text) and first.text[:1].isupper():
        return False
    _add(last, first.text, known)
    last.lines += first.lines - 1
    last.open = first.open
    last.joins += first.joins
    last.hyphens += first.hyphens
    return True
