"""How much of what a bead says on one side is also said on the other, by a table of word translations."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

Table = Mapping[str, Mapping[str, float]]
RECENT = 4096
"""Spans whose words are kept at hand: many times what a search looks at while it passes a sentence."""


class Side:
    """One text as word sets: the words of any span of sentences and how much they weigh."""

    def __init__(self, sentences: Sequence[Sequence[str]], translations: Table):
        """`translations` lead from this side's words to the other's."""
        self.sets = [frozenset(words) for words in sentences]
        seen_in = Counter(word for words in self.sets for word in words)
        self.weights = {word: math.log((len(sentences) + 1) / count) for word, count in seen_in.items()}
        self.translations = translations
        self.words = lru_cache(RECENT)(self._words)
        self.weight = lru_cache(RECENT)(self._weight)
        self.reach = lru_cache(RECENT)(self._reach)

    def _words(self, start: int, end: int) -> frozenset[str]:
        return self.sets[start] if end == start + 1 else frozenset().union(*self.sets[start:end])

    def _weight(self, start: int, end: int) -> float:
        """Sum of the weights of the words; a rare word weighs more (inverse document frequency, Spärck Jones 1972)."""
        return sum(self.weights[word] for word in self.words(start, end))

    def _reach(self, start: int, end: int) -> dict[str, float]:
        """Words of the other side that the span may say, with the best score any of its words gives them."""
        reached: dict[str, float] = {}
        for word in self.words(start, end):
            for other, score in self.translations.get(word, {}).items():
                if score > reached.get(other, 0.0):
                    reached[other] = score
        return reached

    def covered(self, start: int, end: int, reached: Mapping[str, float]) -> float:
        """Weight of the words of the span that the other side says."""
        weights = self.weights
        return sum(weights[word] * reached[word] for word in self.words(start, end) if word in reached)


class Overlap:
    """Overlap of spans of two texts, between 0 and 1: a Dice coefficient over weighted words that translate each other."""

    def __init__(
        self, source: Sequence[Sequence[str]], target: Sequence[Sequence[str]], table: Table, damping: float = 3.0
    ):
        """`damping` is added to the weight of both spans, so that one shared word does not make two short lines equal."""
        self.source = Side(source, table)
        self.target = Side(target, turned(table))
        self.damping = damping

    def __call__(self, a: int, b: int, c: int, d: int) -> float:
        """Overlap of source sentences `a .. b - 1` with target sentences `c .. d - 1`."""
        said = self.source.covered(a, b, self.target.reach(c, d)) + self.target.covered(c, d, self.source.reach(a, b))
        return said / (self.source.weight(a, b) + self.target.weight(c, d) + self.damping)


def turned(table: Table) -> dict[str, dict[str, float]]:
    """The same table read from the other side."""
    back: dict[str, dict[str, float]] = {}
    for word, row in table.items():
        for other, score in row.items():
            back.setdefault(other, {})[word] = score
    return back


def best_of(*tables: Table) -> dict[str, dict[str, float]]:
    """One table with the best score any of the tables gives."""
    best: dict[str, dict[str, float]] = {}
    for table in tables:
        for word, row in table.items():
            kept = best.setdefault(word, {})
            for other, score in row.items():
                if score > kept.get(other, 0.0):
                    kept[other] = score
    return best
