"""What surprises the base model is harder: its bits per byte on the answer; the one scorer that takes minutes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from endonym.types import Chat

if TYPE_CHECKING:
    from endonym.jobs.job import Job

REQUIRES = {"torch": "train", "transformers": "train"}


class Config(BaseModel):
    """Settings of reading with the base model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: str = Field("auto", pattern="^(auto|float32|bfloat16)$", description="Number format of the computation.")


def score(chats: Sequence[Chat], cfg: Config, job: Job) -> list[float]:
    """Bits per byte of each answer, given its prompt as the model will see it in training."""
    import math

    from endonym.models.generate import answer_nll
    from endonym.models.load import load_model

    found = answer_nll(
        load_model(job.project.base, dtype=cfg.dtype),
        chats,
        on_progress=lambda done, total: job.tick(done, total, "rows read by the base model"),
    )
    return [nats / math.log(2) / max(1, size) for nats, size in found]
