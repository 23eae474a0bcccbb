"""Answer F1: how many words an answer shares with the accepted one it is nearest to, as F1 in percent, meaned over questions (SQuAD).

Words are what stands between white space, normalised as in `answer_exact`; in scripts without blanks each character is a word.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.data.statistics import Floats, ratio
from endonym.evaluate.answered import plain_words
from endonym.evaluate.items import Run
from endonym.evaluate.rates import scored
from endonym.types import Score

TASKS = ("answer",)


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    resamples: int = Field(1000, ge=100, description="Bootstrap resamples for the interval.")
    seed: int = Field(12345, description="Seed of the bootstrap.")


def aggregate(sums: Floats) -> Floats:
    """Summed F1 over the number of questions, of `[..., 2]`, in percent."""
    return 100 * ratio(sums)


def f1(said: list[str], true: list[str]) -> float:
    """F1 of two bags of words, 0 to 1; of two that are empty 1."""
    shared = sum((Counter(said) & Counter(true)).values())
    return 2 * shared / (len(said) + len(true)) if said or true else 1.0


def score(run: Run, cfg: Config) -> list[Score]:
    """Score `run`; nothing for a system without text."""
    if not run.has_text:
        return []
    values = [
        max(f1(plain_words(text, run.direction), plain_words(ref, run.direction)) for ref in refs)
        for text, refs in zip(run.texts, run.references, strict=True)
    ]
    stats = np.column_stack([values, np.ones(len(values))])
    return scored(
        run, "answer F1 %", stats, aggregate, "answer_f1|norm:squad+unicode|refs:best|v:1", cfg.resamples, cfg.seed
    )
