"""Intervals and paired significance for corpus scores, by resampling the sufficient statistics of the items.

A corpus score such as chrF or bits per byte is a function of sums over items (matched n-grams, bits, bytes). Resampling the
items therefore needs no second look at the text: draw how often each item occurs, multiply by the item statistics, and
apply the same function to the sums. A thousand resamples of a thousand items take a few milliseconds.

Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993), percentile interval; Koehn, Statistical Significance
Tests for Machine Translation Evaluation (EMNLP 2004), paired resampling; Riezler and Maxwell (2005), the shifted p-value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Aggregate = Callable[[Floats], Floats]
"""Turns sums `[..., K]` over items into scores `[...]`; must accept any leading shape."""

RESAMPLES = 1000
SEED = 12345
SIGNIFICANT = 0.05
"""A difference counts where chance alone would give one as large less often than this."""


@dataclass(frozen=True)
class Difference:
    """How much better one system is than another on the same items, and how sure that is."""

    value: float
    """Score of the first system minus score of the second."""
    low: float
    high: float
    """95 % percentile interval of `value`."""
    p_value: float
    """Two-sided probability of a difference this large if the systems were equally good."""
    num_items: int


def ratio(sums: Floats) -> Floats:
    """First sum over second sum, 0 where there is nothing to divide by: the aggregate of means and rates."""
    top, bottom = sums[..., 0], sums[..., 1]
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def as_table(values: object, num_items: int) -> Floats:
    """Return per-item statistics as `[num_items, K]`; a single value per item gets a column of ones, so `ratio` is its mean."""
    table = np.asarray(values, dtype=np.float64).reshape(num_items, -1) if num_items else np.zeros((0, 2))
    return np.column_stack([table, np.ones(num_items)]) if table.shape[1] == 1 else table


def resampled_sums(stats: Floats, resamples: int = RESAMPLES, seed: int = SEED) -> Floats:
    """Sums `[resamples, K]` of items drawn with replacement; the same seed and number of items draw the same items."""
    num_items = len(stats)
    generator = np.random.default_rng(seed)
    sums = np.empty((resamples, stats.shape[1]))
    rows = max(1, min(resamples, 4_000_000 // max(1, num_items)))
    for start in range(0, resamples, rows):
        stop = min(resamples, start + rows)
        drawn = generator.integers(0, num_items, size=(stop - start, num_items))
        drawn += np.arange(stop - start)[:, None] * num_items
        counts = np.bincount(drawn.ravel(), minlength=(stop - start) * num_items).reshape(stop - start, num_items)
        sums[start:stop] = counts @ stats
    return sums


def interval(
    stats: Floats, aggregate: Aggregate, resamples: int = RESAMPLES, seed: int = SEED
) -> tuple[float, float, float]:
    """Return the score of all items and its 95 % percentile interval: `(value, low, high)`; zeros when there are no items."""
    if not len(stats):
        return 0.0, 0.0, 0.0
    value = float(aggregate(stats.sum(axis=0)))
    low, high = np.percentile(aggregate(resampled_sums(stats, resamples, seed)), [2.5, 97.5])
    return value, float(low), float(high)


def paired(
    first: Floats, second: Floats, aggregate: Aggregate, resamples: int = RESAMPLES, seed: int = SEED
) -> Difference:
    """Compare two systems on the same items in the same order, drawing the same items for both.

    The p-value is two-sided: the share of resamples whose difference is at least as far from the mean of all resampled
    differences as the observed difference is from zero, with one added above and below. sacrebleu counts only "further",
    which calls two identical systems different; for everything else the two agree. It is never below 2^(1 - items), the least
    that exchanging the systems item by item can give (Fisher, The Design of Experiments, 1935): where all of a few items point
    one way, so does every resample, and the bootstrap alone would call two items proof.
    """
    if not len(first):
        return Difference(0.0, 0.0, 0.0, 1.0, 0)
    return paired_of(first, second, aggregate, *resampled_pairs(first, second, resamples, seed))


def resampled_pairs(
    first: Floats, second: Floats, resamples: int = RESAMPLES, seed: int = SEED
) -> tuple[Floats, Floats]:
    """Sums of both systems over the same items, drawn together: each as `resampled_sums` gives them."""
    assert len(first) == len(second), "paired statistics must cover the same items in the same order"
    both = resampled_sums(np.hstack([first, second]), resamples, seed)
    return both[:, : first.shape[1]], both[:, first.shape[1] :]


def paired_of(
    first: Floats, second: Floats, aggregate: Aggregate, sums_first: Floats, sums_second: Floats
) -> Difference:
    """What `paired` says of two systems whose resampled sums are at hand."""
    value = float(aggregate(first.sum(axis=0)) - aggregate(second.sum(axis=0)))
    differences, resamples = aggregate(sums_first) - aggregate(sums_second), len(sums_first)
    low, high = np.percentile(differences, [2.5, 97.5])
    beyond = int(np.count_nonzero(np.abs(differences - differences.mean()) >= abs(value) - 1e-12))
    p_value = max((beyond + 1) / (resamples + 1), 2.0 ** (1 - len(first)))
    return Difference(value, float(low), float(high), p_value, len(first))


def unpaired(
    first: Floats,
    second: Floats,
    aggregate: Aggregate,
    combine: Callable[[Floats, Floats], Floats] = np.subtract,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[float, float, float]:
    """What `combine` makes of the scores of two sides of different items, by default their difference, with its 95 % percentile interval.

    Each side is resampled on its own (Efron and Tibshirani 1993, chapter 8). Both must have items.
    """
    assert len(first) and len(second), "a difference needs items on both sides"
    value = float(combine(*(aggregate(side.sum(axis=0)) for side in (first, second))))
    sides = [aggregate(resampled_sums(side, resamples, seed + n)) for n, side in enumerate((first, second))]
    low, high = np.percentile(combine(*sides), [2.5, 97.5])
    return value, float(low), float(high)


def wilson(hits: float, trials: float) -> tuple[float, float]:
    """95 % interval of a share (Wilson, Probable Inference, JASA 1927); sensible at no hit and at all hits too."""
    z, share = 1.959963984540054, hits / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * float(np.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)))
    return min(max(0.0, middle - half), share), max(min(1.0, middle + half), share)


def share_difference(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float, float]:
    """First share minus second, each `(hits, trials)` of different items, with its 95 % interval.

    Newcombe, Interval Estimation for the Difference Between Independent Proportions (Statistics in Medicine 1998), method 10.
    """
    (one, two), (a, b) = (first[0] / first[1], second[0] / second[1]), (wilson(*first), wilson(*second))
    below = float(np.hypot(one - a[0], b[1] - two))
    above = float(np.hypot(a[1] - one, two - b[0]))
    return one - two, one - two - below, one - two + above


def sign_test(wins: int, losses: int) -> float:
    """Two-sided exact probability of a split as uneven as this if both were equally good; ties are left out beforehand.

    The binomial test with one half (Conover, Practical Nonparametric Statistics, 1999, 3.4); 1 without any decision.
    """
    num, least = wins + losses, min(wins, losses)
    return min(1.0, 2.0 * sum(math.comb(num, k) for k in range(least + 1)) / 2**num)


def ranks(values: Sequence[float]) -> list[float]:
    """Share of values below each one in percent, equal values sharing the middle of their ranks; 50 for what is not a number."""
    given = np.asarray(values, dtype=np.float64)
    known = np.isfinite(given)
    result = np.full(len(given), 50.0)
    # Means of ranks that are equal on paper must be equal here.
    _, place, counts = np.unique(np.round(given[known], 9), return_inverse=True, return_counts=True)
    below = np.concatenate([[0], np.cumsum(counts)[:-1]])
    result[known] = (100 * (below + counts / 2) / max(1, known.sum()))[place]
    return [float(x) for x in result]


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Correlation of ranks (Spearman 1904) over the pairs of which both are numbers; None where there one of the two does not vary."""
    known = [(a, b) for a, b in zip(first, second, strict=True) if math.isfinite(a) and math.isfinite(b)]
    if not known:
        return None
    a, b = (np.asarray(ranks(side)) for side in zip(*known, strict=True))
    return float(np.corrcoef(a, b)[0, 1]) if a.std() and b.std() else None


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number, in the order given.

    Holm, A Simple Sequentially Rejective Multiple Test Procedure (Scandinavian Journal of Statistics 1979), as adjusted values: the
    smallest times their number, the next times one less, and none smaller than the one before it.
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted
