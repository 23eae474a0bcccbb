"""Find the best beads of two texts, long ones first in blocks of sentences and then near the way found there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from endonym.align.lattice import Band, Floats, Shape, band, best, posterior, worth
from endonym.align.potentials import Text, Weights, measuring, scores_of

WHOLE = 500
"""Sentences of the longer side up to which all ways are looked at."""
BLOCK = 6
"""Sentences that are one block where there are more."""
NEAR = 3 * BLOCK + 12
"""Sentences looked at to either side of the way found in blocks."""
SURE = 16
"""The same when beads are made sure of."""


@dataclass(frozen=True)
class Found:
    """Positions the way passes; of each bead between them its score and how likely it is; of each shape how many beads have it,
    as all ways near say together."""

    points: list[Shape]
    scores: list[float]
    chances: list[float]
    expected: Floats


def search(text: Text, known: Weights, in_blocks: Callable[[int], Text], size: int = 1) -> tuple[list[Shape], float]:
    """Positions the best way passes, and its score. `in_blocks(n)` is the same text with each n sentences taken as one."""
    n, m = text.size
    shapes = tuple(known.shapes)
    if not n or not m:
        return [(i, 0) for i in range(n + 1)] + [(n, j) for j in range(1, m + 1)], 0.0
    if max(n, m) <= WHOLE:
        everything = near_way([(0, 0), (n, m)], text, m)
        return best(shapes, everything, scores_of(text, known, everything))
    coarse, _ = search(in_blocks(size * BLOCK), known, in_blocks, size * BLOCK)
    points = [(min(n, i * BLOCK), min(m, j * BLOCK)) for i, j in coarse]
    half = NEAR
    while True:
        near = near_way(points, text, half)
        way, score = best(shapes, near, scores_of(text, known, near))
        if half > m or not _touches(way, near):
            return way, score
        half *= 2


def made_sure(text: Text, known: Weights, points: Sequence[Shape]) -> Found:
    """The way near `points` that is expected to have most beads right, with the probability of each over all ways near them."""
    near = near_way(points, text, SURE)
    scores = list(scores_of(text, known, near))
    shapes = tuple(known.shapes)
    chances, _ = posterior(shapes, near, scores)
    way, _ = best(shapes, near, worth(shapes, near, scores, chances, known.right_skip))
    number = {shape: k for k, shape in enumerate(shapes)}
    at = [(i, number[i - a, j - b], j - near.low[i]) for (a, b), (i, j) in pairwise(way)]
    expected: Floats = np.stack([row.sum(1) for row in chances]).sum(0, dtype=np.float64)
    return Found(way, [float(scores[i][k, j]) for i, k, j in at], [float(chances[i][k, j]) for i, k, j in at], expected)


def likenesses(text: Text, known: Weights, points: Sequence[Shape], name: str = "") -> Floats:
    """How like the two sides of each bead between `points` are by what tells most: vectors, else words, else lengths."""
    name = name or next(name for name in ("vectors", "words", "length") if name in known.curves)
    near, shapes = near_way(points, text, 1), list(known.shapes)
    scores = list(scores_of(text, measuring(known, name), near))
    return np.array([scores[i][shapes.index((i - a, j - b)), j - near.low[i]] for (a, b), (i, j) in pairwise(points)])


def near_way(points: Sequence[Shape], text: Text, half: int) -> Band:
    """The band around a way through these points."""
    i, j = np.array(points).T
    at = np.unique(i)
    rows = np.arange(text.size[0] + 1)
    # A row where the way skips target sentences holds all of them; between points the way is straight.
    first = np.interp(rows, at, j[np.searchsorted(i, at, "left")])
    last = np.interp(rows, at, j[np.searchsorted(i, at, "right") - 1])
    return band(first.astype(np.int64), last.astype(np.int64), text.size[1], half)


def _touches(way: Sequence[Shape], near: Band) -> bool:
    """Whether the way runs along an edge of the band that is no edge of the text."""
    i, j = np.array(way).T
    low, high = near.low[i], near.high[i]
    return bool(np.any((j <= low + 1) & (low > 0) | (j >= high - 2) & (high <= near.num_target)))
