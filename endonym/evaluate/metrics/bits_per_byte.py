"""Bits per byte: how surprised the model is by the true answer, per byte of text; lower is better.

Comparable across tokenizers because bytes are counted, not tokens. Bits are summed over all answers and divided by all their
UTF-8 bytes, so long answers weigh more, as in a compressor.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from endonym.evaluate import bits
from endonym.evaluate.items import Run
from endonym.types import Score

NEEDS = "nats"
"""Looks at probabilities alone: no answer has to be generated for it."""
TASKS: tuple[str, ...] = ()


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    resamples: int = Field(1000, ge=100, description="Bootstrap resamples for the interval.")
    seed: int = Field(12345, description="Seed of the bootstrap.")


def score(run: Run, cfg: Config) -> list[Score]:
    """Score `run`; nothing for a system without probabilities."""
    return bits.bits_per_byte(run, "bits/byte", "bits_per_byte", cfg.resamples, cfg.seed)
