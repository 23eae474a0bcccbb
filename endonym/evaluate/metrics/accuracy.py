"""Accuracy: share of texts with the right class, or of words with the right tag, in percent.

Of texts with Wilson's interval (1927), since a bootstrap of none right, or of all, would claim certainty; of words by a bootstrap over
sentences.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.data.statistics import Floats, ratio
from endonym.evaluate.items import Run
from endonym.evaluate.rates import scored, share
from endonym.types import Score

TASKS = ("classify", "tag")


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    resamples: int = Field(1000, ge=100, description="Bootstrap resamples for the interval.")
    seed: int = Field(12345, description="Seed of the bootstrap.")


def aggregate(sums: Floats) -> Floats:
    """Right answers over all answers of summed `[..., 2]`, in percent."""
    return 100 * ratio(sums)


def score(run: Run, cfg: Config) -> list[Score]:
    """Score `run`; nothing for a system without text."""
    if not run.has_text:
        return []
    if run.task == "classify":
        hits = [float(text.strip() in refs) for text, refs in zip(run.texts, run.references, strict=True)]
        return share(run, "accuracy %", hits, "accuracy|refs:any|v:1")
    pairs = [(text.split(), refs[0].split()) for text, refs in zip(run.texts, run.references, strict=True)]
    right = [sum(a == b for a, b in zip(said, true, strict=False)) for said, true in pairs]
    stats = np.array([[n, len(true)] for n, (_, true) in zip(right, pairs, strict=True)], dtype=np.float64)
    return scored(run, "accuracy %", stats, aggregate, "accuracy|of:words|v:1", cfg.resamples, cfg.seed)
