"""Bits a text compressor needs for the answers after reading the training text: a model that needs more is not worth its weights.

PPMd (`data/ppm.py`) reads all training text in the answer's language, one text a line, and then the test answers one after the other.
Line ends are not charged, as a model is not charged for its end marker. The compressor also learns from the answers
before, which a frozen model cannot: where the two are close, the compressor was helped.

`condition = "source"` gives it what a prompt gives a model: training pairs as `source TAB answer`, and each test source before its
answer, uncharged. It then finds copied names and loanwords, but the other language also fills its memory: on Tseltal and Spanish
it changes the result by at most 2 %, in either direction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.dataset import Dataset
from endonym.data.ppm import MEMORY_MIB, ORDER, Compressor
from endonym.evaluate.items import direction_of, source_of
from endonym.types import Chat, Pair

GIVES = "nats"
"""This baseline gives no text: `prepare` returns a function from chats to the nats of their answers."""
TASKS: tuple[str, ...] = ()


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    order: int = Field(ORDER, ge=2, le=64, description="Longest context in bytes.")
    memory_mib: int = Field(MEMORY_MIB, ge=1, le=2000, description="Memory of the compressor in MiB.")
    condition: Literal["target", "source"] = Field(
        "target", description="Read the target text alone, or pairs and sources too."
    )


def prepare(train: Dataset, cfg: Config) -> Callable[[Sequence[Chat]], list[float]]:
    """Return the function that gives the nats of the answers of chats of one task and direction, in order."""

    def nats(chats: Sequence[Chat]) -> list[float]:
        if not chats:
            return []
        compressor = Compressor(_reading(train, chats[0], cfg), cfg.order, cfg.memory_mib)
        before = [f"{source_of(chat)}\t" if cfg.condition == "source" else "" for chat in chats]
        return [math.log(2) * compressor.bits(chat.answer, given) for chat, given in zip(chats, before, strict=True)]

    return nats


def _reading(train: Dataset, chat: Chat, cfg: Config) -> list[str]:
    """Everything in `train` that is in the answer's language, one text a line."""
    language = chat.language or direction_of(chat).rpartition(">")[2]
    lines = []
    for record in train.records("train"):
        if (
            cfg.condition == "source"
            and isinstance(record, Pair)
            and language in (record.source_language, record.target_language)
        ):
            forward = language == record.target_language
            lines.append(f"{record.source}\t{record.target}" if forward else f"{record.target}\t{record.source}")
        else:
            lines += [text for code, text in record.texts() if code == language]
    return lines
