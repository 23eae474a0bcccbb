"""All ways to cut two texts into beads within a band: the best way, and the probability of every bead over all ways.

A position is (source sentences read, target sentences read). Row i of a band holds the target positions `low[i] .. high[i] - 1`.
Scores are log potentials, one array a row: `scores[k, j - low[i]]` is that of a bead of shape `shapes[k]` that ends at (i, j). The
sum of the scores of its beads is the score of a way, as in the semi-Markov conditional random field of Sarawagi and Cohen (NIPS 2004).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Scores = NDArray[np.float32]
Ints = NDArray[np.int64]
Shape = tuple[int, int]
NEVER = -1e6
"""Score of a bead that is not allowed; finite, so that sums and differences of it stay numbers."""
FAR = 8
"""More rows than the tallest bead has source sentences."""


@dataclass(frozen=True)
class Band:
    """The positions looked at: those of row i are `low[i] .. high[i] - 1`. Both never fall, and the corners are in."""

    low: Ints
    high: Ints

    @property
    def num_target(self) -> int:
        return int(self.high[-1]) - 1

    def overlap(self, i: int, before: int, m: int) -> tuple[slice, slice]:
        """Places in row i and in the row `before` of the positions that a bead with m target sentences connects."""
        start = max(self.low[i], self.low[before] + m)
        stop = max(start, min(self.high[i], self.high[before] + m))
        first, second = start - self.low[i], start - m - self.low[before]
        return slice(first, first + stop - start), slice(second, second + stop - start)


def band(first: Ints, last: Ints, num_target: int, half: int) -> Band:
    """The band of `half` to either side of a way that is in row i at target positions `first[i] .. last[i]`."""
    low, high = np.maximum(first - half, 0), np.minimum(last + half, num_target) + 1
    low[0], high[-1] = 0, num_target + 1
    return Band(low, high)


def best(shapes: Sequence[Shape], band: Band, scores: Iterable[Scores]) -> tuple[list[Shape], float]:
    """Positions that the best way passes, first and last corner included, and its score. `scores` are the rows', in order."""
    skip = shapes.index((0, 1))
    rows: list[Floats] = []
    back: list[NDArray[np.int8]] = []
    for i, here in enumerate(scores):
        options = _arrivals(shapes, band, rows, i, here)
        choice = options.argmax(0)
        row = options[choice, np.arange(len(choice))]
        run = _run(here[skip, 1:])
        reached = np.maximum.accumulate(row - run) + run
        back.append(np.where(reached > row + 1e-6, skip, choice).astype(np.int8))
        rows.append(np.maximum(row, reached))
        if i >= FAR:
            rows[i - FAR] = run[:0]
    at = (len(back) - 1, band.num_target)
    passed, score = [at], float(rows[-1][band.num_target - band.low[-1]])
    while at != (0, 0):
        n, m = shapes[back[at[0]][at[1] - band.low[at[0]]]]
        at = (at[0] - n, at[1] - m)
        passed.append(at)
    return passed[::-1], score


def posterior(shapes: Sequence[Shape], band: Band, scores: Sequence[Scores]) -> tuple[list[Scores], float]:
    """Probability of every bead over all ways, in the layout of `scores`, and the log of the sum over all ways."""
    skip, num_rows = shapes.index((0, 1)), len(scores)
    forward: list[Floats] = []
    for i, here in enumerate(scores):
        run = _run(here[skip, 1:])
        forward.append(np.logaddexp.accumulate(_log_sum(_arrivals(shapes, band, forward, i, here)) - run) + run)
    total = forward[-1][band.num_target - band.low[-1]]
    backward: list[Floats] = [np.empty(0)] * num_rows
    chances = [np.zeros_like(here) for here in scores]
    for i in range(num_rows - 1, -1, -1):
        options = np.full((len(shapes), len(forward[i])), NEVER)
        if i == num_rows - 1:
            options[skip, band.num_target - band.low[i]] = 0.0
        for k, (n, m) in enumerate(shapes):
            if n and i + n < num_rows:
                there, at = band.overlap(i + n, i, m)
                after = backward[i + n][there] + scores[i + n][k, there]
                options[k, at] = after
                chances[i + n][k, there] = np.exp(np.minimum(forward[i][at] + after - total, 0.0))
        # A run of skipped target sentences stays inside the row.
        skips = scores[i][skip, 1:]
        run = _run(skips[::-1])[::-1]
        row = np.logaddexp.accumulate((_log_sum(options) - run)[::-1])[::-1] + run
        backward[i] = row
        chances[i][skip, 1:] = np.exp(np.minimum(forward[i][:-1] + skips + row[1:] - total, 0.0))
    return chances, float(total)


def worth(
    shapes: Sequence[Shape], band: Band, scores: Sequence[Scores], chances: Sequence[Scores], right_skip: float = 1.0
) -> list[Scores]:
    """What each bead is expected to add to strict and lax hits, less one for being made, in the layout of `scores`.

    The best way by this is the one of least risk (Goel and Byrne, Computer Speech and Language 14, 2000): twice the hits less the
    beads made is what raises F1 where it is near 1. A bead is hit strictly with its chance; a link laxly when one of the pairs of
    sentences in it is linked, taken as independent; a skip that is right is hit `right_skip` times:
    once is what F1 asks for, since recall leaves skips out.
    """
    links, left = _links(shapes, band, chances)
    # Log of the chance that no sentence up to each position is linked, so that a difference of two is that of a stretch.
    apart = [np.concatenate([[0.0], np.cumsum(np.log1p(-np.clip(row, 0.0, 1 - 1e-6)))]) for row in links]
    values = []
    for i, here in enumerate(scores):
        value = chances[i] - 1.0
        j = np.arange(band.low[i], band.high[i])
        for k, (n, m) in enumerate(shapes):
            if not (n and m):
                value[k] += (right_skip - 1) * chances[i][k]
            elif n <= i:
                first = max(0, m - int(band.low[i]))
                ends = j[first:]
                missed = np.zeros(len(ends))
                for r in range(i - n, i):
                    place = np.maximum(ends - left[r], 0)
                    missed += apart[r][place] - apart[r][np.maximum(place - m, 0)]
                value[k, first:] -= np.expm1(missed)
        values.append(np.where(here > NEVER / 2, value, NEVER).astype(np.float32))
    return values


def _links(shapes: Sequence[Shape], band: Band, chances: Sequence[Scores]) -> tuple[list[Floats], list[int]]:
    """For each source sentence the chance that it is linked to target sentences, and the first of these."""
    tallest, num_rows = max(n for n, _ in shapes), len(chances)
    left = [int(band.low[max(0, r - tallest + 1)]) for r in range(num_rows - 1)]
    right = [int(band.high[min(num_rows - 1, r + tallest)]) for r in range(num_rows - 1)]
    # A bead adds its chance where it begins, and takes it away where it ends; the running sum is that of a sentence.
    steps = [np.zeros(b - a) for a, b in zip(left, right)]
    for i in range(1, num_rows):
        for k, (n, m) in enumerate(shapes):
            if n and m and n <= i:
                here, _ = band.overlap(i, i - n, m)
                chance = chances[i][k, here]
                for r in range(i - n, i):
                    at = int(band.low[i]) + here.start - left[r]
                    steps[r][at - m : at - m + len(chance)] += chance
                    steps[r][at : at + len(chance)] -= chance
    return [np.cumsum(row) for row in steps], left


def _arrivals(shapes: Sequence[Shape], band: Band, rows: Sequence[Floats], i: int, scores: Scores) -> Floats:
    """Score of arriving at each position of row i by each shape that reads a source sentence; in row 0, of beginning."""
    options = np.full(scores.shape, NEVER)
    if i == 0:
        options[0, 0] = 0.0
    for k, (n, m) in enumerate(shapes):
        if 0 < n <= i:
            here, there = band.overlap(i, i - n, m)
            options[k, here] = rows[i - n][there] + scores[k, here]
    return options


def _run(skips: Scores) -> Floats:
    """Score of skipping from the first position of a row to each."""
    return np.concatenate([[0.0], np.cumsum(skips, dtype=np.float64)])


def _log_sum(options: Floats) -> Floats:
    most = options.max(0)
    total: Floats = most + np.log(np.exp(options - most).sum(0))
    return total
