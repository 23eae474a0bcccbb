"""Texts that keep bringing new words are harder: MTLD, how many words pass before repetition sets in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from endonym.score.texts import texts
from endonym.types import Chat

if TYPE_CHECKING:
    from endonym.jobs.job import Job


class Config(BaseModel):
    """Settings of the measure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(
        0.72, gt=0, lt=1, description="Share of different words at which a stretch of text is closed."
    )


def score(chats: Sequence[Chat], cfg: Config, job: Job) -> list[float]:
    """MTLD per chat in words, the mean of both reading directions; not a number where a text is too short to have one.

    McCarthy and Jarvis, MTLD, vocd-D, and HD-D (Behavior Research Methods 42, 2010). A text whose words do not repeat enough to
    close a single stretch tells nothing but its length, for which there is another scorer.
    """
    from endonym.data.lexicon import words

    results = []
    for chat in chats:
        said = [word.casefold() for _, text in texts(chat) for word in words(text)]
        results.append((_mtld(said, cfg.threshold) + _mtld(said[::-1], cfg.threshold)) / 2)
    return results


def _mtld(words: Iterable[str], threshold: float) -> float:
    number, stretches, seen, length = 0, 0.0, set[str](), 0
    for word in words:
        number, length = number + 1, length + 1
        seen.add(word)
        if len(seen) / length <= threshold:
            stretches, seen, length = stretches + 1, set(), 0
    if stretches < 1:
        return float("nan")
    if length:
        stretches += (1 - len(seen) / length) / (1 - threshold)
    return number / stretches
