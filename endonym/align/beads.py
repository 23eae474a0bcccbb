"""Find the cheapest way to cut two texts into beads, groups of sentences that say the same, kept in order on both sides.

Dynamic programming over (sentences read of the source, sentences read of the target). Only a band around the expected path is
looked at, so time and memory grow with the length of the texts and not with its square; where the best path runs along
the edge of the band, the band is doubled and the search repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from endonym.types import Link

Floats = NDArray[np.float64]
Shape = tuple[int, int]
Bead = tuple[tuple[int, int], tuple[int, int]]
"""Source span and target span, each `(start, end)`."""
Cost = Callable[[Shape, int, int, int], Floats]
"""`cost(shape, i, low, high)`: the cost of ending a bead of `shape` at source position `i` and each target position in
`low .. high - 1`, as an array of that length; positions count sentences read, and the caller asks for no bead that starts before 0."""

NARROWEST = 48


@dataclass(frozen=True)
class Path:
    """Beads in order, with the cost of each."""

    beads: list[Bead]
    costs: list[float]


def cheapest(
    num_source: int, num_target: int, shapes: Sequence[Shape], cost: Cost, expected: Sequence[int], half: int = 0
) -> Path:
    """Return the cheapest path from `(0, 0)` to `(num_source, num_target)`.

    `shapes` are the bead shapes allowed, `(1, 0)` and `(0, 1)` among them, so that there is always a path. `expected[i]` is the target
    position where the path is likely to be after `i` source sentences; it must not fall. `half` is half the width of the band.
    """
    half = half or max(NARROWEST, num_target // 16)
    while True:
        low, high = _band(num_source, num_target, expected, half)
        back = _fill(num_source, shapes, cost, low, high)
        path, touches = _trace(num_source, num_target, shapes, cost, back, low, high)
        if not touches or half > num_target:
            return path
        half *= 2


def in_segments(num_source: int, num_target: int, anchors: Sequence[tuple[int, int]]) -> Iterator[tuple[slice, slice]]:
    """Cut both texts at `anchors`, positions known to correspond; they must rise on both sides."""
    previous = (0, 0)
    for anchor in [*anchors, (num_source, num_target)]:
        if anchor != previous:
            yield slice(previous[0], anchor[0]), slice(previous[1], anchor[1])
        previous = anchor


def proportional(source_lengths: Floats, target_lengths: Floats) -> list[int]:
    """Expected target position after each source sentence when both texts advance evenly in characters."""
    source = np.concatenate([[0.0], np.cumsum(source_lengths)])
    target = np.concatenate([[0.0], np.cumsum(target_lengths)])
    share = source * (target[-1] / source[-1]) if source[-1] else source
    return [int(j) for j in np.searchsorted(target, share - 1e-9).clip(0, len(target_lengths))]


def lengths(sentences: Sequence[str]) -> Floats:
    """Characters of each sentence, white space around it left out."""
    return np.array([len(s.strip()) for s in sentences], dtype=np.float64)


def length_cost(source: Floats, target: Floats, ratio: float, variance: float) -> Cost:
    """How unlikely the lengths of a bead are for a translation, as minus log probability (Gale and Church 1993, section 3.2).

    The target is expected to be `ratio` times as long as the source with a variance of `variance` per character; what is
    measured is the chance of a difference at least as large, which is 1 for a perfect fit.
    """
    x = np.concatenate([[0.0], np.cumsum(source)])
    y = np.concatenate([[0.0], np.cumsum(target)])

    def cost(shape: Shape, i: int, low: int, high: int) -> Floats:
        n, m = shape
        here = x[i] - x[i - n]
        there = y[low:high] - y[low - m : high - m]
        mean = np.maximum(1.0, (here + there / ratio) / 2)
        return -log_two_sided((there - ratio * here) / np.sqrt(variance * ratio * mean))

    return cost


def log_two_sided(deviation: Floats) -> Floats:
    """Log of the chance that a standard normal variable is at least this far from 0.

    Numerical Recipes' erfc approximation (Press et al. 1992, section 6.2; relative error below 1.2e-7), kept in logs so that
    far deviations do not underflow.
    """
    z = np.abs(deviation) / np.sqrt(2)
    t = 1 / (1 + z / 2)
    series = np.zeros_like(t)
    for c in (
        0.17087277,
        -0.82215223,
        1.48851587,
        -1.13520398,
        0.27886807,
        -0.18628806,
        0.09678418,
        0.37409196,
        1.00002368,
    ):
        series = (series + c) * t
    return np.log(t) - z * z - 1.26551223 + series


def doubts(path: Path, shapes: Sequence[Shape], cost: Cost) -> Floats:
    """For each bead how near the next best way to cut its neighbourhood comes, as the log of a sum of odds: high is doubtful.

    Looked at are the bead cut in two, and each boundary with a neighbour moved by one sentence on either side or taken away.
    """
    allowed = set(shapes)

    def total(points: Sequence[tuple[int, int]]) -> float:
        """Cost of the beads between these positions, infinite when one of them has no allowed shape."""
        beads = [((b - a, d - c), b, d) for (a, c), (b, d) in pairwise(points)]
        if any(shape not in allowed for shape, _, _ in beads):
            return np.inf
        return sum(float(cost(shape, b, d, d + 1)[0]) for shape, b, d in beads)

    points = [(0, 0), *((s[1], t[1]) for s, t in path.beads)]
    odds = np.zeros(len(path.beads))
    for k in range(len(path.beads)):
        (a, c), (b, d) = points[k], points[k + 1]
        cuts = [(i, j) for i in range(a, b + 1) for j in range(c, d + 1) if (i, j) not in ((a, c), (b, d))]
        odds[k] += sum(np.exp(path.costs[k] - total([(a, c), cut, (b, d)])) for cut in cuts)
        if k + 2 < len(points):
            (i, j), end = points[k + 1], points[k + 2]
            now = path.costs[k] + path.costs[k + 1]
            moves = [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1), (i - 1, j - 1), (i + 1, j + 1)]
            moved = sum(np.exp(now - total([(a, c), m, end])) for m in moves) + np.exp(now - total([(a, c), end]))
            odds[k] += moved
            odds[k + 1] += moved
    return np.log(odds + 1e-6)


def around(values: Floats) -> Floats:
    """Mean of each value with the two before and the two after it."""
    if not len(values):
        return values
    padded = np.pad(values, 2, mode="edge")
    return np.array([padded[k : k + 5].mean() for k in range(len(values))])


def logistic(weights: Sequence[float], features: Sequence[Floats]) -> list[float]:
    """Logistic function of a constant and weighted features, one value a bead."""
    value = weights[0] + sum(w * f for w, f in zip(weights[1:], features))
    return [float(p) for p in np.atleast_1d(1 / (1 + np.exp(-np.clip(value, -30, 30))))]


def links(path: Path, part: tuple[slice, slice], confidences: Sequence[float]) -> Iterator[Link]:
    """The beads of a path as links, their positions shifted to where the part begins."""
    for ((a, b), (c, d)), confidence in zip(path.beads, confidences):
        i, j = part[0].start, part[1].start
        yield Link(tuple(range(a + i, b + i)), tuple(range(c + j, d + j)), round(confidence, 4))


def _band(num_source: int, num_target: int, expected: Sequence[int], half: int) -> tuple[list[int], list[int]]:
    """For each source position the target positions looked at, `low .. high - 1`; first and last corner are always in."""
    low = [max(0, expected[i] - half) for i in range(num_source + 1)]
    high = [min(num_target, expected[i] + half) + 1 for i in range(num_source + 1)]
    low[0], high[-1] = 0, num_target + 1
    for i in range(1, num_source + 1):
        # Where the expected path jumps, the rows must still meet, or no path leads on.
        low[i] = min(low[i], high[i - 1] - 1)
    return low, high


def _fill(
    num_source: int, shapes: Sequence[Shape], cost: Cost, low: list[int], high: list[int]
) -> list[NDArray[np.int8]]:
    """Best shape to arrive by at every position of the band."""
    best: list[Floats] = []
    back: list[NDArray[np.int8]] = []
    skip_target = shapes.index((0, 1))
    for i in range(num_source + 1):
        lo, hi = low[i], high[i]
        row = np.full(hi - lo, np.inf)
        arrived = np.full(hi - lo, -1, np.int8)
        if i == 0:
            row[0] = 0.0
        for number, (n, m) in enumerate(shapes):
            if n == 0 or n > i:
                continue
            start, stop = max(lo, low[i - n] + m), min(hi, high[i - n] + m)
            if start >= stop:
                continue
            before = best[i - n][start - m - low[i - n] : stop - m - low[i - n]]
            total = before + cost((n, m), i, start, stop)
            better = total < row[start - lo : stop - lo]
            row[start - lo : stop - lo][better] = total[better]
            arrived[start - lo : stop - lo][better] = number
        if hi - lo > 1:
            # Skipping target sentences stays inside the row: the cheapest start of a run of skips, by prefix sums.
            skips = np.concatenate([[0.0], np.cumsum(cost((0, 1), i, lo + 1, hi))])
            reached = np.minimum.accumulate(row - skips) + skips
            arrived[reached < row - 1e-9] = skip_target
            row = np.minimum(row, reached)
        best.append(row)
        back.append(arrived)
        if i >= 8:
            best[i - 8] = np.empty(0)
    return back


def _trace(
    num_source: int,
    num_target: int,
    shapes: Sequence[Shape],
    cost: Cost,
    back: list[NDArray[np.int8]],
    low: list[int],
    high: list[int],
) -> tuple[Path, bool]:
    """The best path, and whether it runs along an edge of the band that is not an edge of the texts."""
    i, j = num_source, num_target
    beads: list[Bead] = []
    costs: list[float] = []
    touches = False
    while i or j:
        number = int(back[i][j - low[i]])
        if number < 0:
            return Path([], []), True
        shape = shapes[number]
        costs.append(float(cost(shape, i, j, j + 1)[0]))
        beads.append(((i - shape[0], i), (j - shape[1], j)))
        i, j = i - shape[0], j - shape[1]
        touches |= (j <= low[i] + 1 and low[i] > 0) or (j >= high[i] - 2 and high[i] <= num_target)
    return Path(beads[::-1], costs[::-1]), touches
