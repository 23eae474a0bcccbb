"""BLEU: overlap of words and word sequences with the reference, 0 to 100; for comparison with published numbers.

Corpus level through sacrebleu. Papineni et al., BLEU (ACL 2002); Post, A Call for Clarity (WMT 2018). Harsh on languages with
long words: prefer chrF++ there.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.data.statistics import Floats, as_table, interval
from endonym.evaluate.items import Run
from endonym.types import Score

TASKS = ("translate",)
ORDER = 4


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    tokenize: Literal["13a", "intl", "char", "zh", "none"] = Field(
        "13a", description="sacrebleu tokenisation; 13a is the usual one, intl also cuts at non-Latin punctuation."
    )
    resamples: int = Field(1000, ge=100, description="Bootstrap resamples for the interval.")
    seed: int = Field(12345, description="Seed of the bootstrap.")


def aggregate(sums: Floats) -> Floats:
    """BLEU with exponential smoothing of summed counts `[..., 10]`: lengths, matched and total n-grams.

    Same rules as sacrebleu's `compute_bleu(smooth_method="exp")`: an order without matches counts as 1 / (2^k total), a
    resample without any match is 0, and so is one with no 4-grams at all.
    """
    hypothesis_length, reference_length = sums[..., 0], sums[..., 1]
    matched, total = sums[..., 2 : 2 + ORDER], sums[..., 2 + ORDER :]
    smoothing = 2.0 ** np.cumsum((matched == 0) & (total > 0), axis=-1)
    top = np.where(matched == 0, 1.0 / smoothing, matched)
    usable = matched.any(axis=-1) & (total > 0).all(axis=-1)
    precision = np.divide(top, total, out=np.ones_like(top), where=total > 0)
    ratio = np.divide(
        reference_length, hypothesis_length, out=np.ones_like(hypothesis_length), where=hypothesis_length > 0
    )
    penalty = np.where(hypothesis_length < reference_length, np.exp(1 - ratio), 1.0)
    return np.where(usable, 100 * penalty * np.exp(np.log(precision).mean(axis=-1)), 0.0)


def score(run: Run, cfg: Config) -> list[Score]:
    """Score `run`; nothing for a system without text."""
    from sacrebleu.metrics.bleu import BLEU

    if not run.has_text:
        return []
    metric = BLEU(tokenize=cfg.tokenize, force=True)
    references = [[refs[0] for refs in run.references]]
    metric.corpus_score(run.texts[:1], [references[0][:1]])
    stats = as_table(metric._extract_corpus_statistics(run.texts, references), len(run.ids))
    value, low, high = interval(stats, aggregate, cfg.resamples, cfg.seed)
    signature = f"{metric.get_signature()}|bs:{cfg.resamples}|rs:{cfg.seed}"
    return [Score("BLEU", value, low, high, signature, len(run.ids), True, tuple(stats.ravel().tolist()))]
