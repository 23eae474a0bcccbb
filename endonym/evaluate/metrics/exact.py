"""Exact: share of look-ups answered with one of the acceptable words, in percent.

Answers are compared in Unicode NFC, case-folded, with spaces squeezed and punctuation at the ends taken off; apostrophes and marks
inside words count, since in many orthographies they are letters. A reference such as `casa; hogar` accepts either part. Intervals are
Wilson's (1927): a bootstrap of none right, or of all, would claim certainty.
"""

from __future__ import annotations

import unicodedata

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.data.statistics import Floats, ratio, wilson
from endonym.evaluate.items import Run
from endonym.types import Score

TASKS = ("lookup",)

_APOSTROPHES = "'ʼ’ʻ‘`´"


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    separators: str = Field(";,/፣፤،؛", description="Characters that separate acceptable answers inside one reference.")


def normalise(text: str) -> str:
    """Fold what does not make a different word: composition, case, spacing, punctuation at the ends."""
    text = " ".join(unicodedata.normalize("NFC", text).casefold().split())
    start, stop = 0, len(text)
    while start < stop and _is_edge(text[start]):
        start += 1
    while stop > start and _is_edge(text[stop - 1]):
        stop -= 1
    return text[start:stop]


def acceptable(references: tuple[str, ...], separators: str) -> set[str]:
    """All normalised answers that count as right: each reference whole, and each of its parts."""
    answers: set[str] = set()
    for reference in references:
        cut = reference
        for separator in separators:
            cut = cut.replace(separator, "\n")
        answers.update(normalise(part) for part in [reference, *cut.split("\n")])
    return answers - {""}


def aggregate(sums: Floats) -> Floats:
    """Right answers over all answers of summed `[..., 2]`, in percent."""
    return 100 * ratio(sums)


def score(run: Run, cfg: Config) -> list[Score]:
    """Score `run`; nothing for a system without text."""
    if not run.has_text:
        return []
    right = [
        float(normalise(text) in acceptable(refs, cfg.separators))
        for text, refs in zip(run.texts, run.references, strict=True)
    ]
    stats = np.column_stack([right, np.ones(len(right))])
    value = float(aggregate(stats.sum(axis=0)))
    low, high = wilson(sum(right), len(right))
    signature = "exact|norm:nfc+casefold+edges|refs:any|interval:wilson|v:2"
    return [
        Score("exact %", value, 100 * low, 100 * high, signature, len(run.ids), True, tuple(stats.ravel().tolist()))
    ]


def _is_edge(character: str) -> bool:
    return character not in _APOSTROPHES and unicodedata.category(character)[0] in "PZ"
