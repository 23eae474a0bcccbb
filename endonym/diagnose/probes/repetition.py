"""Repetition: how varied the model's own writing is, against held-out texts of the same length.

Within a text, the share of its word 4-grams that stand in it before (Welleck and others, Neural Text Generation with Unlikelihood
Training, ICLR 2020, seq-rep-4); over all texts, the share of different ones among their word 2-grams (distinct-2: Li and others, A
Diversity-Promoting Objective Function for Neural Conversation Models, NAACL 2016), which depends on length, hence the equal lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.data.lexicon import words
from endonym.data.statistics import Floats, interval, ratio
from endonym.diagnose.finding import Finding, Measure, measured

if TYPE_CHECKING:
    from endonym.diagnose.subject import Subject


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    repeated: int = Field(4, ge=1, description="Words of the n-grams that are looked for within a text.")
    distinct: int = Field(2, ge=1, description="Words of the n-grams that are looked for over all texts.")


def probe(subject: Subject, cfg: Config) -> Finding:
    """Count n-grams of words in the samples and in held-out texts."""
    if not subject.samples:
        return Finding("not measured: the model wrote nothing")
    measures = []
    for name, texts in zip(("samples", "held-out texts"), zip(*subject.samples, strict=True), strict=True):
        signature = f"seq-rep-{cfg.repeated}|v:1"
        table = _repeated(texts, cfg.repeated)
        measures.append(
            measured(f"repeated {cfg.repeated}-grams, {name}", interval(table, ratio), len(texts), signature)
        )
        grams = [gram for text in texts for gram in ngrams(text, cfg.distinct)]
        share = len(set(grams)) / max(1, len(grams))
        measures.append(
            Measure(f"distinct-{cfg.distinct}, {name}", share, None, None, len(texts), f"distinct-{cfg.distinct}|v:1")
        )
    text = (
        f"{measures[0].value:.1%} of the samples' {cfg.repeated}-grams repeat within a text (held-out texts "
        f"{measures[2].value:.1%}); distinct-{cfg.distinct} {measures[1].value:.2f} (held-out texts {measures[3].value:.2f})"
    )
    return Finding(text, measures)


def ngrams(text: str, size: int) -> list[tuple[str, ...]]:
    """The n-grams of `size` words of a text, case folded."""
    known = words(text.casefold())
    return [tuple(known[i : i + size]) for i in range(len(known) - size + 1)]


def _repeated(texts: Sequence[str], size: int) -> Floats:
    """For each text, n-grams that stand in it before, and all of them: `[texts, 2]`."""
    found = [ngrams(text, size) for text in texts]
    return np.array([[len(grams) - len(set(grams)), len(grams)] for grams in found], dtype=np.float64)
