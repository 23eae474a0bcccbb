"""Answer with the translation of the most similar training sentence: what a translation memory does, and hard to beat.

Similarity is the cosine of TF-IDF weighted words and character n-grams, the same index that gives the model its hints.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.dataset import Dataset
from endonym.evaluate.items import direction_of, source_of
from endonym.retrieve.indexes import memory
from endonym.types import Chat, Pair

TASKS = ("translate",)


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    shortest: int = Field(3, ge=1, description="Shortest character n-gram.")
    longest: int = Field(5, ge=1, description="Longest character n-gram.")


def prepare(train: Dataset, cfg: Config) -> Callable[[Chat], str]:
    """Index the training pairs once per direction; the answer is empty when nothing in the source was ever seen."""
    pairs = [record for record in train.records("train") if isinstance(record, Pair)]
    rows = [
        {"languages": [p.source_language, p.target_language], "texts": [p.source, p.target], "groups": []}
        for p in pairs
    ]
    index = memory.PairMemory(rows, memory.Config(shortest=cfg.shortest, longest=cfg.longest))

    def answer(chat: Chat) -> str:
        source_language, _, target_language = direction_of(chat).partition(">")
        found = index.search(source_of(chat), source_language, target_language)
        return found[0][2] if found else ""

    return answer
