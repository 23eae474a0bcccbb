"""Tag F1: of words that have another tag than O, how many got it, and how many that got one should have, as F1 in percent."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.data.statistics import Floats
from endonym.evaluate.items import Run
from endonym.evaluate.rates import percent_f1, scored
from endonym.types import Score

TASKS = ("tag",)


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    resamples: int = Field(1000, ge=100, description="Bootstrap resamples for the interval.")
    seed: int = Field(12345, description="Seed of the bootstrap.")


def aggregate(sums: Floats) -> Floats:
    """F1 of summed counts `[..., 3]`: right, said, true."""
    return percent_f1(sums)


def score(run: Run, cfg: Config) -> list[Score]:
    """Score `run` word by word; nothing for a system without text."""
    if not run.has_text:
        return []
    stats = []
    for text, refs in zip(run.texts, run.references, strict=True):
        said, true = text.split(), refs[0].split()
        right = sum(a == b != "O" for a, b in zip(said, true, strict=False))
        stats.append([right, sum(tag != "O" for tag in said), sum(tag != "O" for tag in true)])
    counts = np.array(stats, dtype=np.float64)
    return scored(run, "tag F1 %", counts, aggregate, "tag_f1|agg:micro|without:O|v:1", cfg.resamples, cfg.seed)
