"""Answer exact: share of questions whose answer is one of the accepted ones word for word, in percent (SQuAD's exact match).

Rajpurkar and others, SQuAD (EMNLP 2016). Answers are compared in Unicode NFC, case-folded, without punctuation of any script, and
in English without articles.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from endonym.data.statistics import Floats, ratio
from endonym.evaluate.answered import plain_words
from endonym.evaluate.items import Run
from endonym.evaluate.rates import share
from endonym.types import Score

TASKS = ("answer",)


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def aggregate(sums: Floats) -> Floats:
    """Right answers over all answers of summed `[..., 2]`, in percent."""
    return 100 * ratio(sums)


def score(run: Run, cfg: Config) -> list[Score]:
    """Score `run`; nothing for a system without text."""
    if not run.has_text:
        return []
    hits = [
        float(plain_words(text, run.direction) in [plain_words(ref, run.direction) for ref in refs])
        for text, refs in zip(run.texts, run.references, strict=True)
    ]
    return share(run, "exact match %", hits, "answer_exact|norm:squad+unicode|refs:any|v:1")
