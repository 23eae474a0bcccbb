"""Mean reciprocal rank: one over the place at which the counterpart of a text is found among all of the test, in percent.

Voorhees, The TREC-8 Question Answering Track Report (1999).
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.data.statistics import Floats, ratio
from endonym.evaluate.items import Run
from endonym.evaluate.rates import scored
from endonym.types import Score

TASKS = ("embed",)


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    resamples: int = Field(1000, ge=100, description="Bootstrap resamples for the interval.")
    seed: int = Field(12345, description="Seed of the bootstrap.")


def aggregate(sums: Floats) -> Floats:
    """Summed reciprocal ranks over the number of texts, of `[..., 2]`, in percent."""
    return 100 * ratio(sums)


def score(run: Run, cfg: Config) -> list[Score]:
    """Score `run`; nothing for a system that does not rank."""
    if not run.ids or any(not counts for counts in run.counts):
        return []
    stats = np.array([[1 / counts[0], 1.0] for counts in run.counts if counts])
    signature = f"mrr|among:{len(set(run.references))}|ties:last|v:1"
    return scored(run, "MRR %", stats, aggregate, signature, cfg.resamples, cfg.seed)
