"""Span F1: of names of several words, how many were found whole and of the right kind, as F1 in percent, as conlleval counts."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.data.statistics import Floats
from endonym.evaluate.items import Run
from endonym.evaluate.rates import percent_f1, scored
from endonym.evaluate.tagged import has_names, names
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
    """Score `run`; nothing for a system without text, and for tags that do not say where a name begins."""
    if not run.has_text or not has_names([tag for refs in run.references for tag in refs[0].split()]):
        return []
    stats = []
    for text, refs in zip(run.texts, run.references, strict=True):
        # What is no tag of names says that there is none.
        said = names([tag if tag[1:2] == "-" else "O" for tag in text.split()])
        true = names(refs[0].split())
        stats.append([len(said & true), len(said), len(true)])
    counts = np.array(stats, dtype=np.float64)
    return scored(
        run, "span F1 %", counts, aggregate, "span_f1|scheme:conlleval|agg:micro|v:1", cfg.resamples, cfg.seed
    )
