"""chrF++: overlap of character and word pieces with the reference, 0 to 100; the metric to trust for small languages.

Corpus level through sacrebleu. Popović, chrF++: words helping character n-grams (WMT 2017).
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.data.statistics import Floats, as_table, interval
from endonym.evaluate.items import Run
from endonym.types import Score

TASKS = ("translate",)
BETA = 2


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    word_order: int = Field(2, ge=0, le=4, description="Longest word n-gram; 2 is chrF++, 0 is plain chrF.")
    resamples: int = Field(1000, ge=100, description="Bootstrap resamples for the interval.")
    seed: int = Field(12345, description="Seed of the bootstrap.")


def aggregate(sums: Floats) -> Floats:
    """chrF of summed counts `[..., 3 * orders]` (hypothesis, reference, matched), as sacrebleu computes it."""
    counts = sums.reshape(*sums.shape[:-1], -1, 3)
    hypothesis, reference, matched = counts[..., 0], counts[..., 1], counts[..., 2]
    valid = (hypothesis > 0) & (reference > 0)
    orders = np.maximum(valid.sum(axis=-1), 1)
    precision = np.divide(matched, hypothesis, out=np.zeros_like(matched), where=valid).sum(axis=-1) / orders
    recall = np.divide(matched, reference, out=np.zeros_like(matched), where=valid).sum(axis=-1) / orders
    bottom = BETA**2 * precision + recall
    return 100 * np.divide((1 + BETA**2) * precision * recall, bottom, out=np.zeros_like(bottom), where=bottom > 0)


def score(run: Run, cfg: Config) -> list[Score]:
    """Score `run`; nothing for a system without text."""
    from sacrebleu.metrics.chrf import CHRF

    if not run.has_text:
        return []
    metric = CHRF(word_order=cfg.word_order)
    references = [[refs[0] for refs in run.references]]
    metric.corpus_score(run.texts[:1], [references[0][:1]])
    stats = as_table(metric._extract_corpus_statistics(run.texts, references), len(run.ids))
    value, low, high = interval(stats, aggregate, cfg.resamples, cfg.seed)
    signature = f"{metric.get_signature()}|bs:{cfg.resamples}|rs:{cfg.seed}"
    name = "chrF" + str(BETA) + "+" * cfg.word_order
    return [Score(name, value, low, high, signature, len(run.ids), True, tuple(stats.ravel().tolist()))]
