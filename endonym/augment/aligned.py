"""Training pairs whose words are aligned, and new texts made of them by putting words in the place of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from endonym.data import phrases
from endonym.data.glosses import glosses
from endonym.data.lexicon import words
from endonym.types import Entry, Pair, Record


@dataclass(frozen=True)
class Side:
    """A text, its words in lower case, and where each stands in it."""

    text: str
    words: tuple[str, ...]
    places: tuple[tuple[int, int], ...]

    def around(self, begin: int, end: int) -> tuple[str, str]:
        """The words before and after a run of words; empty at the edge of the text."""
        return (
            self.words[begin - 1] if begin else "",
            self.words[end] if end < len(self.words) else "",
        )

    def written(self, begin: int, end: int) -> str:
        """A run of words as the text has it."""
        return self.text[self.places[begin][0] : self.places[end - 1][1]]

    def exchanged(self, begin: int, end: int, new: str) -> str:
        """The text with `new` in the place of a run of words, with a capital where they had one."""
        if self.written(begin, end)[:1].isupper():
            new = new[:1].upper() + new[1:]
        return self.text[: self.places[begin][0]] + new + self.text[self.places[end - 1][1] :]


@dataclass(frozen=True)
class Aligned:
    """A training pair with its word alignment; `row.source` are words of the language taught."""

    pair: Pair
    own: Side
    """In the language that is taught."""
    pivot: Side
    row: phrases.Row


def aligned(records: Sequence[Record], language: str, pivot: str, iterations: int = 6) -> list[Aligned]:
    """The pairs of these languages with their words aligned; a dictionary's glosses help to align them."""
    found: list[tuple[Pair, Side, Side]] = []
    for record in records:
        sides = record.between(language, pivot) if isinstance(record, Pair) else None
        if sides and isinstance(record, Pair) and (own := side(sides[0])) and (other := side(sides[1])):
            found.append((record, own, other))
    known = [
        (words(entry.headword.casefold()), words(gloss.casefold()))
        for entry in records
        if isinstance(entry, Entry) and entry.language == language
        for sense in entry.senses
        if sense.language == pivot
        for gloss in glosses(sense.definition)
    ]
    texts = [(own.words, other.words) for _, own, other in found]
    rows = phrases.learn([*texts, *known], [True] * len(texts) + [False] * len(known), iterations)
    return [Aligned(*one, row) for one, row in zip(found, rows)]


def side(text: str) -> Side | None:
    """A text with its words; None where it has none, or where lower case has other words than the text."""
    found = words(text)
    lower = tuple(words(text.casefold()))
    places: list[tuple[int, int]] = []
    position = 0
    for word in found:
        start = text.find(word, position)
        position = start + len(word)
        places.append((start, position))
    if not found or len(lower) != len(found) or any(start < 0 for start, _ in places):
        return None
    return Side(text, lower, tuple(places))
