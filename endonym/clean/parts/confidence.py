"""How sure the program was that read a record from a scan or a recording, or aligned it, where it says so."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.clean.batch import Batch, Floats
from endonym.types import Record


class Config(BaseModel):
    """Settings of the confidence part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: list[str] = Field(
        ["confidence", "ocr_confidence", "asr_confidence"],
        description="Where a record's meta holds a confidence, 0 to 1 or in percent.",
    )


def fit(sample: Batch, cfg: Config) -> Callable[[Batch], Floats]:
    """The lowest confidence a record has; nothing is learned from the sample."""

    def measure(batch: Batch) -> Floats:
        return np.array([_lowest(record, cfg.keys) for record in batch.records], dtype=np.float64)

    return measure


def _lowest(record: Record, keys: list[str]) -> float:
    given = [record.meta[key] for key in keys if isinstance(record.meta.get(key), int | float)]
    values = [value / 100 if value > 1 else value for value in given]
    return min(max(min(values), 0.0), 1.0) if values else float("nan")
