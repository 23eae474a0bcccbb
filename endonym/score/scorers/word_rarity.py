"""Rare words are harder: how surprising a row's words are, counted in the training text itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym.score.texts import distinct, texts
from endonym.types import Chat

if TYPE_CHECKING:
    from endonym.jobs.job import Job


class Config(BaseModel):
    """Settings of word rarity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    of: Literal["mean", "rarest"] = Field("mean", description="Whether all words of a row count, or its rarest alone.")


def score(chats: Sequence[Chat], cfg: Config, job: Job) -> list[float]:
    """Mean or greatest -log2 p(word) per chat in bits, each word in its own language; not a number where there is no word.

    Platanios and others, Competence-based Curriculum Learning for Neural Machine Translation (NAACL 2019), take the sum, which
    is mostly length; Zhang and others, An Empirical Exploration of Curriculum Learning for NMT (2018), the mean or the rarest. A
    text's own occurrences are left out of the counts, and one is added to each.
    """
    import math

    from endonym.data.lexicon import words

    counts: dict[str, Counter[str]] = {}
    for language, text in distinct(chats):
        counts.setdefault(language, Counter()).update(word.casefold() for word in words(text))
    total = {language: counted.total() + len(counted) for language, counted in counts.items()}
    results = []
    for chat in chats:
        bits = []
        for language, text in texts(chat):
            own = Counter(word.casefold() for word in words(text))
            left = total[language] - own.total()
            bits += [-math.log2((counts[language][w] - own[w] + 1) / left) for w in own for _ in range(own[w])]
        results.append((max(bits) if cfg.of == "rarest" else sum(bits) / len(bits)) if bits else math.nan)
    return results
