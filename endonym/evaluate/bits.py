"""Bits over bytes of the true answers, with an interval: what every metric that looks at probabilities alone scores by."""

from __future__ import annotations

import math

import numpy as np

from endonym.data.statistics import interval, ratio
from endonym.evaluate.items import Run
from endonym.types import Score


def bits_per_byte(run: Run, name: str, signature: str, resamples: int, seed: int) -> list[Score]:
    """Bits of all references of `run` over all their UTF-8 bytes; nothing for a system without probabilities.

    `signature` opens the score's signature and says what was measured. Two sums an item are kept: its bits and its bytes.
    """
    if not run.has_probabilities:
        return []
    bits = [(nats or 0.0) / math.log(2) for nats in run.nll_nats]
    stats = np.column_stack([bits, np.asarray(run.num_bytes, dtype=np.float64)])
    value, low, high = interval(stats, ratio, resamples, seed)
    signature = f"{signature}|bytes:utf-8|agg:micro|v:1|bs:{resamples}|rs:{seed}"
    return [Score(name, value, low, high, signature, len(run.ids), False, tuple(stats.ravel().tolist()))]
