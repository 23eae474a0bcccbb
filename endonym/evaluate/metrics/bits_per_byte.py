"""Bits per byte: how surprised the model is by the true answer, per byte of text; lower is better.

Comparable across tokenizers because bytes are counted, not tokens. Bits are summed over all answers and divided by all their
UTF-8 bytes, so long answers weigh more, as in a compressor.
"""

from __future__ import annotations

import math

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.data.statistics import Floats, interval, ratio
from endonym.evaluate.items import Run
from endonym.types import Score

NEEDS = "nats"
"""Looks at probabilities alone: no answer has to be generated for it."""
TASKS: tuple[str, ...] = ()


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    resamples: int = Field(1000, ge=100, description="Bootstrap resamples for the interval.")
    seed: int = Field(12345, description="Seed of the bootstrap.")


def aggregate(sums: Floats) -> Floats:
    """Bits over bytes of summed `[..., 2]`."""
    return ratio(sums)


def score(run: Run, cfg: Config) -> list[Score]:
    """Score `run`; nothing for a system without probabilities."""
    if not run.has_probabilities:
        return []
    bits = [(nats or 0.0) / math.log(2) for nats in run.nll_nats]
    stats = np.column_stack([bits, np.asarray(run.num_bytes, dtype=np.float64)])
    value, low, high = interval(stats, aggregate, cfg.resamples, cfg.seed)
    signature = f"bits_per_byte|bytes:utf-8|agg:micro|v:1|bs:{cfg.resamples}|rs:{cfg.seed}"
    return [Score("bits/byte", value, low, high, signature, len(run.ids), False, tuple(stats.ravel().tolist()))]
