"""Answer by what texts have in common: the sentence with most words of the question, the text with most character trigrams."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from endonym.data.dataset import Dataset
from endonym.evaluate.headed import ranked
from endonym.evaluate.items import source_of
from endonym.types import Chat

TASKS = ("answer", "embed")
GIVES = "whole"


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def prepare(train: Dataset, cfg: Config) -> Callable[[Sequence[Chat]], list[dict[str, Any]]]:
    """Return the answerer; nothing is learned."""
    return answer


def answer(chats: Sequence[Chat]) -> list[dict[str, Any]]:
    """What it answers to all questions of a task and direction."""
    if chats[0].task == "answer":
        return [{"text": _sentence(str(c.meta["context"]), str(c.meta["question"]))} for c in chats]
    right: dict[str, list[str]] = {}
    for chat in chats:
        right.setdefault(source_of(chat), []).append(chat.answer)
    texts = list(dict.fromkeys(chat.answer for chat in chats))
    grams = [_trigrams(text) for text in texts]
    found = []
    for chat in chats:
        own = _trigrams(source_of(chat))
        found.append(ranked([_cosine(own, other) for other in grams], texts, right[source_of(chat)]))
    return found


def _sentence(context: str, question: str) -> str:
    asked = set(question.casefold().split())
    sentences = [s for s in re.split(r"(?<=[.!?።॥।؟])\s+", context) if s.strip()] or [context]
    return max(sentences, key=lambda s: len(asked & set(s.casefold().split())))


def _trigrams(text: str) -> Counter[str]:
    padded = f" {text.casefold()} "
    return Counter(padded[n : n + 3] for n in range(len(padded) - 2))


def _cosine(first: Counter[str], second: Counter[str]) -> float:
    bottom = math.sqrt(sum(n * n for n in first.values()) * sum(n * n for n in second.values()))
    return sum(n * second[gram] for gram, n in first.items()) / bottom if bottom else 0.0
