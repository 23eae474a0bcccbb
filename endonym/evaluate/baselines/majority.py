"""Answer with what is most frequent: the commonest class; of a known word its commonest tag, of others the commonest of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict

from endonym.data.dataset import Dataset
from endonym.evaluate.items import source_of
from endonym.types import Chat

TASKS = ("classify", "tag")
LEARNS = "chats"
"""From the training chats, which know what records with labels mean."""


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def prepare(train: Dataset, cfg: Config) -> Callable[[Chat], str]:
    """Count the labels of the training chats."""
    classes, tags = Counter[str](), Counter[str]()
    by_word: dict[str, Counter[str]] = {}
    for chat in train.records("train"):
        if isinstance(chat, Chat) and chat.task == "classify":
            classes[chat.answer] += 1
        elif isinstance(chat, Chat) and chat.task == "tag":
            for word, tag in zip(source_of(chat).split(), chat.answer.split(), strict=False):
                tags[tag] += 1
                by_word.setdefault(word, Counter())[tag] += 1

    def answer(chat: Chat) -> str:
        if chat.task == "classify":
            return _commonest(classes)
        return " ".join(_commonest(by_word.get(word, tags)) for word in source_of(chat).split())

    return answer


def _commonest(counts: Counter[str]) -> str:
    """The most frequent, of equally frequent ones the first by name."""
    return min(counts, key=lambda name: (-counts[name], name), default="")
