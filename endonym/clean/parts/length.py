"""Whether a text is as long as texts of its language and kind usually are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.clean.batch import LEAST_TEXTS, Batch, Floats, Scale


class Config(BaseModel):
    """Settings of the length part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tail: float = Field(0.002, ge=0, lt=0.5, description="Share of trusted texts that may lie beyond the edge.")


def fit(sample: Batch, cfg: Config) -> Callable[[Batch], Floats]:
    """Only what is far too long is at fault: a headword may be one letter, and an answer one word."""
    lengths = _lengths(sample.texts)
    kinds = _kinds(sample)
    scales = {}
    for kind in set(kinds):
        own = np.array([i for i, found in enumerate(kinds) if found == kind])
        trusted = lengths[own[sample.trusted[sample.owners[own]]]]
        if len(trusted) >= LEAST_TEXTS:
            fitted = Scale.fitted(trusted, cfg.tail, 1.25)
            scales[kind] = Scale(fitted.usual, max(fitted.edge, fitted.usual + float(np.log(3))))

    def measure(batch: Batch) -> Floats:
        lengths = _lengths(batch.texts)
        values = np.full(len(batch.texts), np.nan)
        kinds = _kinds(batch)
        for kind, scale in scales.items():
            own = [i for i, found in enumerate(kinds) if found == kind]
            values[own] = scale.grade(lengths[own])
        return batch.worst(values)

    return measure


def _lengths(texts: list[str]) -> Floats:
    return np.log(np.fromiter(map(len, texts), np.float64, len(texts)) + 10)


def _kinds(batch: Batch) -> list[tuple[str, str]]:
    return [(batch.records[owner].kind, code) for owner, code in zip(batch.owners.tolist(), batch.languages)]
