"""Placeholders, what templates leave behind, and sentences that many records share but for a name or a number."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import regex
from pydantic import BaseModel, ConfigDict, Field

from endonym.clean.batch import Batch, Floats
from endonym.data.quality import EDGE

_WORD = regex.compile(r"[\p{L}\p{M}]+|\p{N}+")
LEAST_LETTERS = 14
"""Letters that a skeleton has outside of its gaps: fewer are a turn of phrase and no template."""


class Config(BaseModel):
    """Settings of the boilerplate part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patterns: list[str] = Field(
        [], description="Regular expressions of your own for what is no text; case does not count."
    )
    same: int = Field(
        12, ge=2, description="Records with one skeleton from which it is at the edge, in 10,000 or fewer records."
    )


def fit(sample: Batch, cfg: Config) -> Callable[[Batch], Floats]:
    """Skeletons are counted in the sample: a text with its numbers and its rare words left out."""
    found = [*_patterns(), *cfg.patterns]
    placeholder = regex.compile("|".join(f"(?:{pattern})" for pattern in found), regex.IGNORECASE | regex.MULTILINE)
    cut = [_WORD.findall(text.casefold()) for text in sample.texts]
    counts = Counter(word for words in cut for word in set(words))
    rare = max(2, len(sample.texts) // 5000)
    common = {word for word, number in counts.items() if number > rare and not word.isdigit()}
    skeletons = Counter(skeleton for words in cut if (skeleton := _skeleton(words, common)))
    most = cfg.same * max(1.0, len(sample.records) / 10_000)
    repeated = {skeleton: number for skeleton, number in skeletons.items() if number > most / 3}

    def measure(batch: Batch) -> Floats:
        values = np.ones(len(batch.texts))
        for i, text in enumerate(batch.texts):
            if placeholder.search(text):
                values[i] = 0.0
            elif repeated:
                number = repeated.get(_skeleton(_WORD.findall(text.casefold()), common), 0)
                if number > most / 3:
                    values[i] = EDGE ** min(8.0, (number / most - 1 / 3) * 1.5)
        return batch.worst(values)

    return measure


def _skeleton(words: list[str], common: set[str]) -> int:
    """A text with a gap for each run of rare words and numbers, as a number; 0 when the gaps are most of it."""
    kept = [word if word in common else "" for word in words]
    letters = sum(map(len, kept))
    if letters < LEAST_LETTERS or letters < 0.5 * sum(map(len, words)):
        return 0
    return hash(tuple(word for i, word in enumerate(kept) if word or i == 0 or kept[i - 1]))


@lru_cache(maxsize=1)
def _patterns() -> list[str]:
    data = tomllib.loads(Path(__file__).with_name("boilerplate.toml").read_text(encoding="utf-8"))
    return [pattern for group in data.values() for pattern in group["patterns"]]
