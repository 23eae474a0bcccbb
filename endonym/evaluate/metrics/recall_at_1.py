"""Recall at 1: share of texts whose counterpart is the first that is found among all of the test, in percent."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from endonym.data.statistics import Floats, ratio
from endonym.evaluate.items import Run
from endonym.evaluate.rates import share
from endonym.types import Score

TASKS = ("embed",)


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def aggregate(sums: Floats) -> Floats:
    """Found over all of summed `[..., 2]`, in percent."""
    return 100 * ratio(sums)


def score(run: Run, cfg: Config) -> list[Score]:
    """Score `run`; nothing for a system that does not rank."""
    if not run.ids or any(not counts for counts in run.counts):
        return []
    hits = [float(counts[0] == 1) for counts in run.counts if counts]
    return share(run, "recall at 1 %", hits, f"recall_at_1|among:{len(set(run.references))}|ties:last|v:1")
