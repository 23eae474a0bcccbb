"""Macro F1: the mean of the F1 of every class, in percent, so that a rare class counts as much as a frequent one.

Of the classes that are true of some text of the test; an answer that is none of them is wrong and is said of no class.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.data.statistics import Floats
from endonym.evaluate.items import Run
from endonym.evaluate.rates import percent_f1, scored
from endonym.types import Score

TASKS = ("classify",)


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    resamples: int = Field(1000, ge=100, description="Bootstrap resamples for the interval.")
    seed: int = Field(12345, description="Seed of the bootstrap.")


def aggregate(sums: Floats) -> Floats:
    """Mean F1 over the classes that are true of an item, of summed counts `[..., 3 * classes]`."""
    counts = sums.reshape(*sums.shape[:-1], -1, 3)
    there = counts[..., 2] > 0
    total = np.where(there, percent_f1(counts), 0.0).sum(axis=-1)
    return np.asarray(total / np.maximum(there.sum(axis=-1), 1))


def score(run: Run, cfg: Config) -> list[Score]:
    """Score `run`; nothing for a system without text."""
    if not run.has_text:
        return []
    number = {label: n for n, label in enumerate(sorted({refs[0] for refs in run.references}))}
    stats = np.zeros((len(run.ids), len(number), 3))
    for item, (text, refs) in enumerate(zip(run.texts, run.references, strict=True)):
        # Of a text that stands there with several labels, the one that was said is taken for true.
        true = text.strip() if text.strip() in refs and text.strip() in number else refs[0]
        stats[item, number[true], 2] = 1
        if text.strip() in number:
            stats[item, number[text.strip()], 1] = 1
            stats[item, number[text.strip()], 0] = float(text.strip() == true)
    flat = stats.reshape(len(run.ids), -1)
    return scored(run, "macro F1 %", flat, aggregate, "macro_f1|labels:true|v:1", cfg.resamples, cfg.seed)
