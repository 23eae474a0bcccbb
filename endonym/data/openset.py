"""Tell whether a text is in one of the languages that were learned at all, with a line drawn on the project's own text.

Two things are measured a letter: how well the best language fits, and how much better it does than all the world's languages together
(a universal background model: Reynolds, Quatieri and Dunn 2000). Both are compared with what is usual for held-out text of that
language and of that length, so that they mean the same in every script; a logistic line through the two separates the project's
text from the Universal Declaration in languages of its scripts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PIECES = (20, 40, 80, 160)
"""Characters of the pieces in which text is held out."""
PRIOR = np.array([6.0, 1.5, 0.5])
"""The line where there is nothing to draw it by: known until both measures lie about three deviations below what is usual."""
TRIMMED = 0.05
"""Share of the project's text that is left out, the least fitting: in every collection some lines are not in its language."""
_DEVIATIONS = 1.4826


@dataclass(frozen=True)
class Usual:
    """Median and deviation of both measures in held-out text of one language, `[lengths, 2]` for the lengths of `PIECES`."""

    middle: Floats
    spread: Floats

    def away(self, measured: Floats, sizes: Floats) -> Floats:
        """How many deviations texts lie from what is usual at their length, `[texts, 2]`."""
        at, lengths = np.log(sizes), np.log(PIECES)
        columns = [
            (measured[:, k] - np.interp(at, lengths, self.middle[:, k])) / np.interp(at, lengths, self.spread[:, k])
            for k in (0, 1)
        ]
        return np.clip(np.stack(columns, axis=1), -8.0, 2.0)


@dataclass(frozen=True)
class Line:
    """What is usual for each language, and the line between known and unknown."""

    usual: tuple[Usual, ...]
    weights: Floats

    def known(self, gains: Floats, sizes: Floats) -> Floats:
        """Probability of each text to be in one of the languages. `gains` has a column for each, and the world's as the last."""
        return _sigmoid(_features(self.usual, gains, sizes) @ self.weights)


def measure(gains: Floats, sizes: Floats, column: int) -> Floats:
    """How well a language fits, and how much better than the world, a letter: `[texts, 2]`."""
    fit = gains[:, column] / sizes
    return np.stack([fit, fit - gains[:, -1] / sizes], axis=1)


def usual(measured: Floats, sizes: Floats) -> Usual:
    """What is usual at each length; a length with too few pieces takes it from the nearest with enough."""
    nearest = np.abs(np.log(sizes)[:, None] - np.log(PIECES)).argmin(axis=1)
    enough = [k for k in range(len(PIECES)) if (nearest == k).sum() >= 5]
    middle, spread = np.zeros((len(PIECES), 2)), np.ones((len(PIECES), 2))
    for k in range(len(PIECES)):
        source = min(enough, key=lambda other: abs(other - k)) if enough else -1
        rows = measured[nearest == source] if enough else measured
        middle[k] = np.median(rows, axis=0)
        deviation = _DEVIATIONS * np.median(np.abs(rows - middle[k]), axis=0)
        spread[k] = np.maximum(deviation, 0.03 * np.abs(middle[k]) + 1e-6)
    return Usual(middle, spread)


def draw(
    inside: Sequence[tuple[Floats, Floats, int]], outside: Mapping[str, tuple[Floats, Floats]], languages: int
) -> tuple[Line, set[str]]:
    """The line between held-out text of the languages, `(gains, sizes, which)`, and text of others by code; and the others so near
    that they fall on this side of it, which it is then drawn again without."""
    tables = tuple(_usual_of(inside, j) for j in range(languages))
    known = np.concatenate([_trimmed(_features(tables, gains, sizes)) for gains, sizes, _ in inside])
    strange = {code: _features(tables, gains, sizes) for code, (gains, sizes) in outside.items()}
    weights = _fit(known, list(strange.values()))
    near = {code for code, found in strange.items() if np.median(found @ weights) > 0}
    if near:
        weights = _fit(known, [found for code, found in strange.items() if code not in near])
    return Line(tables, weights), near


def _usual_of(inside: Sequence[tuple[Floats, Floats, int]], language: int) -> Usual:
    parts = [(measure(gains, sizes, language), sizes) for gains, sizes, which in inside if which == language]
    return usual(np.concatenate([part for part, _ in parts]), np.concatenate([sizes for _, sizes in parts]))


def _features(tables: Sequence[Usual], gains: Floats, sizes: Floats) -> Floats:
    """`[texts, 3]`: one, and both measures of the best language in deviations from what is usual."""
    best = gains[:, :-1].argmax(axis=1)
    found = np.ones((len(sizes), 3))
    for j, table in enumerate(tables):
        mine = np.flatnonzero(best == j)
        if len(mine):
            found[mine, 1:] = table.away(measure(gains[mine], sizes[mine], j), sizes[mine])
    return found


def _trimmed(found: Floats) -> Floats:
    worth = found @ PRIOR
    return found[worth >= np.quantile(worth, TRIMMED)]


def _fit(known: Floats, unknown: Sequence[Floats], steps: int = 30) -> Floats:
    """Logistic regression by Newton's method, both sides weighing the same, drawn a little towards `PRIOR`."""
    if not unknown:
        return PRIOR
    rest = np.concatenate(unknown)
    x, y = np.concatenate([known, rest]), np.repeat([1.0, 0.0], [len(known), len(rest)])
    share = np.repeat([0.5 / len(known), 0.5 / len(rest)], [len(known), len(rest)])
    weights = PRIOR.copy()
    for _ in range(steps):
        chance = _sigmoid(x @ weights)
        slope = x.T @ (share * (chance - y)) + 1e-3 * (weights - PRIOR)
        curve = (x.T * (share * chance * (1 - chance))) @ x + 1e-3 * np.eye(3)
        step = np.linalg.solve(curve, slope)
        weights = weights - step * min(1.0, 3 / max(1e-9, float(np.abs(step).max())))
        if np.abs(step).max() < 1e-6:
            break
    return weights


def _sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(x, -40, 40)))
