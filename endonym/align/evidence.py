"""How much of what a group of sentences says is also said by a group of the other side, for all groups near a path at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Singles = NDArray[np.float32]


def spread(starts: Ints, counts: Ints) -> Ints:
    """The numbers `start .. start + count - 1` of every run, one run after the other."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - counts), counts)


class Side:
    """One text as numbers: the different words of each sentence, and how much each word weighs."""

    def __init__(self, numbers: Mapping[str, int], words: Ints, starts: Ints):
        """The words of sentence k, by their `numbers`, stand at `starts[k] .. starts[k + 1] - 1`."""
        self.numbers, self.words, self.starts = numbers, words, starts
        seen_in = np.bincount(words, minlength=len(numbers))
        # A rare word weighs more (inverse document frequency, Spärck Jones 1972).
        self.weights = np.log(len(starts) / np.maximum(seen_in, 1)).astype(np.float32)
        before = np.concatenate([[0.0], np.cumsum(self.weights[words], dtype=np.float64)])
        self.weight_before = before[starts]
        """Weight of all sentences before each position."""

    @classmethod
    def of(cls, sentences: Iterable[Iterable[str]]) -> Side:
        """Number the words of these sentences."""
        numbers: dict[str, int] = {}
        sets = [{numbers.setdefault(word, len(numbers)): None for word in words} for words in sentences]
        starts = np.concatenate([[0], np.cumsum([len(words) for words in sets])]).astype(np.int64)
        return cls(numbers, np.fromiter((word for words in sets for word in words), np.int64, starts[-1]), starts)

    def joined(self, a: int, b: int, size: int) -> Side:
        """Sentences `a .. b - 1`, each `size` of them joined to one."""
        blocks = np.repeat(np.arange(b - a) // size, np.diff(self.starts[a : b + 1]))
        kinds = np.unique(blocks * len(self.numbers) + self.words[self.starts[a] : self.starts[b]])
        counts = np.bincount(kinds // len(self.numbers), minlength=-(-(b - a) // size))
        return Side(self.numbers, kinds % len(self.numbers), np.concatenate([[0], np.cumsum(counts)]))

    def __len__(self) -> int:
        return len(self.starts) - 1


@dataclass(frozen=True)
class Rows:
    """A table of translations as runs: those of word k stand from `starts[k]` on."""

    starts: Ints
    words: Ints
    scores: Singles

    @classmethod
    def of(cls, first: Ints, second: Ints, scores: Singles, size: int) -> Rows:
        """From pairings in any order."""
        order = np.argsort(first, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(first, minlength=size))]).astype(np.int64)
        return cls(starts, second[order], scores[order])


class Evidence:
    """Coverage of the sentences of two texts by each other, for windows of both."""

    def __init__(self, source: Side, target: Side, there: Rows, back: Rows, scale: float = 1.0):
        """`there` lists the translations of source words, `back` those of target words. Coverage is multiplied by `scale`, since
        with a good dictionary sentences that do not correspond share more than those that do with a poor one."""
        self.source, self.target = source, target
        self.there, self.back = there, back
        self.scale = scale

    def joined(self, source: slice, target: slice, size: int) -> Evidence:
        """That of a part of both texts with each `size` sentences joined to one."""
        return Evidence(
            self.source.joined(source.start, source.stop, size),
            self.target.joined(target.start, target.stop, size),
            self.there,
            self.back,
            self.scale,
        )

    def window(self, a: int, b: int, c: int, d: int, widest: int) -> tuple[list[Singles], list[Singles]]:
        """Coverage in the window of source sentences `a .. b - 1` and target sentences `c .. d - 1`.

        The first list holds for m = 1 .. `widest` how much weight of each source sentence (rows) is said by the m target sentences
        that end with each (columns); the second list the same for target sentences (rows) and source sentences (columns).
        """
        return (
            _covered(self.source, a, b, self.target, c, d, self.there, widest),
            _covered(self.target, c, d, self.source, a, b, self.back, widest),
        )


def _covered(side: Side, a: int, b: int, other: Side, c: int, d: int, table: Rows, widest: int) -> list[Singles]:
    """For each number of joined sentences of the other side, the covered weight of each sentence of this side."""
    here = side.words[side.starts[a] : side.starts[b]]
    kinds, which = np.unique(here, return_inverse=True)
    counts = table.starts[kinds + 1] - table.starts[kinds]
    places = spread(table.starts[kinds], counts)
    kind, said, score = np.repeat(np.arange(len(kinds)), counts), table.words[places], table.scores[places]
    there = other.words[other.starts[c] : other.starts[d]]
    column = np.repeat(np.arange(d - c), np.diff(other.starts[c : d + 1]))
    order = np.argsort(there, kind="stable")
    there, column = there[order], column[order]
    low = np.searchsorted(there, said, "left")
    counts = np.searchsorted(there, said, "right") - low
    best = np.zeros((len(kinds), d - c), np.float32)
    np.maximum.at(
        best.ravel(), np.repeat(kind, counts) * (d - c) + column[spread(low, counts)], np.repeat(score, counts)
    )
    tokens = best[which.ravel()]
    owners = np.repeat(np.arange(b - a), np.diff(side.starts[a : b + 1]))
    weighed = np.zeros((b - a, len(here)), np.float32)
    weighed[owners, np.arange(len(here))] = side.weights[here]
    joined, sums = tokens, [weighed @ tokens]
    for m in range(1, widest):
        joined = joined.copy()
        joined[:, m:] = np.maximum(joined[:, m:], tokens[:, : max(0, d - c - m)])
        sums.append(weighed @ joined)
    return sums
