"""Longer texts are harder: the number of words asked and answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from endonym.score.texts import texts
from endonym.types import Chat

if TYPE_CHECKING:
    from endonym.jobs.job import Job


class Config(BaseModel):
    """Length has no settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def score(chats: Sequence[Chat], cfg: Config, job: Job) -> list[float]:
    """Words per chat; where a script has no spaces, letters."""
    from endonym.data.lexicon import words

    return [float(sum(len(words(text)) for _, text in texts(chat))) for chat in chats]
