"""Which words translate each other, learned from beads and read from a lexicon, as numbered pairings with a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from endonym.align.evidence import Evidence, Ints, Rows, Side, Singles, spread

Bead = tuple[tuple[int, int], tuple[int, int]]
Floats = NDArray[np.float64]
LEAST = 0.1
"""Score from which a learned pairing is used."""
LARGEST = 4
"""Sentences, of both sides together, of the largest bead that words are learned from."""
MOST_PAIRINGS = 12_000_000
"""Pairings of words in beads that are looked at; where there are more, the surest beads are."""


@dataclass(frozen=True)
class Pairings:
    """Source word `first[k]` and target word `second[k]` translate each other with a score of `scores[k]`, 0 to 1."""

    first: Ints
    second: Ints
    scores: Singles

    @classmethod
    def of(cls, table: Mapping[str, Mapping[str, float]], source: Side, target: Side) -> Pairings:
        """Those of a table by words that both texts have."""
        found = [
            (source.numbers[word], target.numbers[other], score)
            for word, row in table.items() if word in source.numbers
            for other, score in row.items() if other in target.numbers
        ]  # fmt: skip
        first, second, scores = zip(*found) if found else ((), (), ())
        return cls(np.array(first, np.int64), np.array(second, np.int64), np.array(scores, np.float32))

    def between(self, source: Side, target: Side) -> Evidence:
        """What these pairings say of two texts."""
        there = Rows.of(self.first, self.second, self.scores, len(source.numbers))
        return Evidence(source, target, there, Rows.of(self.second, self.first, self.scores, len(target.numbers)))

    def best_of(self, other: Pairings, width: int) -> Pairings:
        """Both together, the better score where both have a pairing. `width` is above every target number."""
        keys = np.concatenate([self.first * width + self.second, other.first * width + other.second])
        kinds, which = np.unique(keys, return_inverse=True)
        scores = np.zeros(len(kinds), np.float32)
        np.maximum.at(scores, which, np.concatenate([self.scores, other.scores]))
        return Pairings(kinds // width, kinds % width, scores)


def learned(source: Side, target: Side, beads: Sequence[Bead], sure: Floats, iterations: int = 5) -> Pairings:
    """Pairings that the small beads suggest: words that met at least twice and that IBM model 1 pairs in both directions.

    `sure` is the chance that each bead is right; a bead counts for as much (soft counts). Brown and others 1993; the two
    directions meet in a geometric mean, as in Liang, Taskar and Klein (NAACL 2006).
    """
    spans = np.array(beads, dtype=np.int64).reshape(-1, 4)
    size = (spans[:, 1] - spans[:, 0]) + (spans[:, 3] - spans[:, 2])
    whole = (spans[:, 1] > spans[:, 0]) & (spans[:, 3] > spans[:, 2]) & (size <= LARGEST)
    order = np.flatnonzero(whole)[np.argsort(-sure[whole], kind="stable")]
    s = spans[order]
    n, m = source.starts[s[:, 1]] - source.starts[s[:, 0]], target.starts[s[:, 3]] - target.starts[s[:, 2]]
    used = np.cumsum(n * m) <= MOST_PAIRINGS
    s, n, m, weight = s[used], n[used], m[used], sure[order][used]
    # Each word of a bead's source stands beside each of its target.
    here = np.repeat(spread(source.starts[s[:, 0]], n), np.repeat(m, n))
    there = spread(np.repeat(target.starts[s[:, 2]], n), np.repeat(m, n))
    bead = np.repeat(np.arange(len(s)), n * m)
    width = len(target.numbers)
    kinds, place, met = np.unique(
        source.words[here] * width + target.words[there], return_inverse=True, return_counts=True
    )
    kept = met[place] >= 2
    place, here, there, bead = place[kept], here[kept], there[kept], bead[kept]
    forward = _model1(place, there, kinds // width, weight[bead], 1 / max(1, width), iterations)
    backward = _model1(place, here, kinds % width, weight[bead], 1 / max(1, len(source.numbers)), iterations)
    scores = np.sqrt(forward * backward) * met / (met + 1)
    good = scores >= LEAST
    return Pairings(kinds[good] // width, kinds[good] % width, scores[good].astype(np.float32))


def _model1(place: Ints, explained: Ints, owner: Ints, weight: Floats, nothing: float, iterations: int) -> Floats:
    """Probability of each kind of pairing given its `owner`.

    `place` is the kind of each pairing met, and `explained` the place of the word that pairings compete for; a word that every
    sentence has pairs with each of them with a probability of `nothing`.
    """
    num_words, num_owners = int(explained.max(initial=-1)) + 1, int(owner.max(initial=-1)) + 1
    probability = 1 / np.maximum(np.bincount(owner, minlength=num_owners), 1)[owner]
    for _ in range(iterations):
        share = probability[place]
        share *= weight / (np.bincount(explained, share, num_words) + nothing)[explained]
        counts = np.bincount(place, share, len(owner))
        probability = counts / np.maximum(np.bincount(owner, counts, num_owners), 1e-300)[owner]
    return probability
