"""Tell which two columns of a table inside a document say the same in the two languages of the project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from endonym.ingest.columns import language_of
from endonym.ingest.language import LEAST_CHARS, MOST_CHARS, SURE, WIDELY_WRITTEN, Known, classify, identify

LEAST_FILLED = 0.5
"""Share of rows in which both cells must hold letters."""


@dataclass(frozen=True)
class Sides:
    """The columns that translate each other, counted from 0."""

    text: int
    translation: int
    header: bool
    """Whether the first row names the columns."""


def find_sides(rows: Sequence[Sequence[str]], language: str, pivot: str) -> Sides | None:
    """The column in `language` and the one in `pivot`, told by the names in the first row, else by what stands in them.

    None when there are not both, or when most rows have only one of them: the table is then no list of translations.
    """
    if len(rows) < 2 or not language or not pivot or language == pivot:
        return None
    names = [_named(cell, language, pivot) for cell in rows[0]]
    if language in names and pivot in names:
        return _checked(rows[1:], Sides(names.index(language), names.index(pivot), True))
    width = max(map(len, rows))
    texts = [[row[k] for row in rows if k < len(row)] for k in range(width)]
    worded = [k for k in range(width) if sum(map(_has_letters, texts[k])) >= LEAST_FILLED * len(rows)]
    if len(worded) < 2:
        return None
    known = Known(language, pivot)
    found: dict[str, list[int]] = {}
    for k in worded:
        found.setdefault(_language(texts[k], known), []).append(k)
    first, second = found.get(language, []), found.get(pivot, [])
    return _checked(rows, Sides(first[0], second[0], False)) if len(first) == len(second) == 1 else None


def _language(texts: Sequence[str], known: Known) -> str:
    """Language of a column; a script alone does not prove it, since others are written in it too."""
    code, text = identify(texts, known).code, " ".join(texts)[:MOST_CHARS]
    if code and len(text) >= LEAST_CHARS:
        other, sure = classify(text)
        if sure >= SURE and other in WIDELY_WRITTEN and other not in (known.language, known.pivot):
            return ""
    return code


def _named(cell: str, language: str, pivot: str) -> str:
    word = cell.strip().casefold()
    return word if word in (language, pivot) else language_of(cell) if len(cell) <= 40 else ""


def _checked(rows: Sequence[Sequence[str]], sides: Sides) -> Sides | None:
    both = sum(
        all(k < len(row) and _has_letters(row[k]) for k in (sides.text, sides.translation)) for row in rows if any(row)
    )
    return sides if both and both >= LEAST_FILLED * sum(map(any, rows)) else None


def _has_letters(text: str) -> bool:
    return any(char.isalpha() for char in text)
