"""Scores that are shares or F1 of counts over items, with their intervals: what metrics of classes, tags, answers and search have in common."""

from __future__ import annotations

import numpy as np

from endonym.data.statistics import Aggregate, Floats, interval, wilson
from endonym.evaluate.items import Run
from endonym.types import Score


def percent_f1(sums: Floats) -> Floats:
    """F1 in percent of summed counts `[..., 3]`: right, said, and true (van Rijsbergen 1979); 0 where nothing is right."""
    right, said, true = sums[..., 0], sums[..., 1], sums[..., 2]
    bottom = said + true
    return 100 * np.divide(2 * right, bottom, out=np.zeros_like(right), where=bottom > 0)


def scored(
    run: Run, name: str, stats: Floats, aggregate: Aggregate, signature: str, resamples: int, seed: int
) -> list[Score]:
    """The score of all items with its bootstrap interval; `stats` are the counts of each item."""
    value, low, high = interval(stats, aggregate, resamples, seed)
    signature = f"{signature}|bs:{resamples}|rs:{seed}"
    return [Score(name, value, low, high, signature, len(run.ids), True, tuple(stats.ravel().tolist()))]


def share(run: Run, name: str, hits: list[float], signature: str) -> list[Score]:
    """The share of items that are hits, in percent, with Wilson's interval (1927)."""
    stats = np.column_stack([hits, np.ones(len(hits))])
    low, high = wilson(sum(hits), len(hits))
    value = 100 * sum(hits) / len(hits)
    per_item = tuple(stats.ravel().tolist())
    return [Score(name, value, 100 * low, 100 * high, f"{signature}|interval:wilson", len(run.ids), True, per_item)]
