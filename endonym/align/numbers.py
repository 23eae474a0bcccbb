"""What aligners count with: lengths of sentences, segments between anchors, the normal distribution, means and logistic functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def in_segments(num_source: int, num_target: int, anchors: Sequence[tuple[int, int]]) -> Iterator[tuple[slice, slice]]:
    """Cut both texts at `anchors`, positions known to correspond; they must rise on both sides."""
    previous = (0, 0)
    for anchor in [*anchors, (num_source, num_target)]:
        if anchor != previous:
            yield slice(previous[0], anchor[0]), slice(previous[1], anchor[1])
        previous = anchor


def lengths(sentences: Sequence[str]) -> Floats:
    """Characters of each sentence, white space around it left out."""
    return np.array([len(s.strip()) for s in sentences], dtype=np.float64)


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
