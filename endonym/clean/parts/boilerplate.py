"""Placeholders, what templates leave behind, and sentences that many records share but for a name or a number.

The last is told by the stretches of letters a text has in common with many records: formulas come in all text, but a text that is
mostly formula was made by a machine or stands on every page.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import regex
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from endonym.clean.batch import Batch, Floats
from endonym.clean.characters import DIGIT, kind
from endonym.clean.letters import mixed
from endonym.data.near_dup import letters
from endonym.data.quality import EDGE

STRETCH = 10
"""Letters in a row that make a stretch."""
BITS = 22
LEAST_STRETCHES = 12
"""A text with fewer stretches is judged as if it had so many: a short one may be nothing but a turn of phrase."""


class Config(BaseModel):
    """Settings of the boilerplate part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patterns: list[str] = Field(
        [], description="Regular expressions of your own for what is no text; case does not count."
    )
    same: int = Field(
        10, ge=2, description="Records that have a stretch of letters in common from which it is a formula."
    )
    per_million: int = Field(
        3000,
        ge=0,
        description="The same for each million records, where that is more: in much text formulas are commoner.",
    )
    share: float = Field(0.7, gt=0, le=1, description="Share of formulas in a text at which it is at the edge.")


def fit(sample: Batch, cfg: Config) -> Callable[[Batch], Floats]:
    """Stretches are counted in the sample, each once a text."""
    # One by one: together they are twice as slow, because then nothing tells at a glance that a text has none.
    placeholders = [
        regex.compile(pattern, regex.IGNORECASE | regex.MULTILINE) for pattern in [*_patterns(), *cfg.patterns]
    ]
    stretches, owners = _stretches(sample.texts)
    found = np.sort(owners << BITS | stretches)
    once = found[np.diff(found, prepend=-1) > 0]
    counts = np.bincount(once & (1 << BITS) - 1, minlength=1 << BITS)
    formula = counts >= max(cfg.same, cfg.per_million * len(sample.records) // 1_000_000)

    def measure(batch: Batch) -> Floats:
        stretches, owners = _stretches(batch.texts)
        number = np.bincount(owners, minlength=len(batch.texts))
        share = np.bincount(owners, formula[stretches], len(batch.texts)) / np.maximum(number, LEAST_STRETCHES)
        values = EDGE ** np.maximum(0, (share - cfg.share / 2) / (cfg.share / 2))
        values[[i for i, text in enumerate(batch.texts) if any(p.search(text) for p in placeholders)]] = 0.0
        return batch.worst(values)

    return measure


def _stretches(texts: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every stretch of letters as a number of BITS bits, and the text it is in. Numbers are what templates leave open."""
    codes, lengths = letters(texts)
    stays = np.flatnonzero(kind(codes) != DIGIT)
    owners = np.repeat(np.arange(len(texts)), lengths)[stays]
    codes = codes[stays].astype(np.uint64) + np.uint64(1)
    number = max(len(codes) - STRETCH + 1, 0)
    hashes = np.zeros(number, np.uint64)
    for k in range(STRETCH):
        hashes = mixed(hashes ^ codes[k : k + number])
    starts = np.flatnonzero(owners[:number] == owners[len(owners) - number :])
    return (hashes[starts] >> np.uint64(64 - BITS)).astype(np.int64), owners[starts]


@lru_cache(maxsize=1)
def _patterns() -> list[str]:
    data = tomllib.loads(Path(__file__).with_name("boilerplate.toml").read_text(encoding="utf-8"))
    return [pattern for group in data.values() for pattern in group["patterns"]]
