"""Bits a text compressor needs for the answers after reading the training text: a model that needs more is not worth its weights.

PPMd (Cleary and Witten 1984; Shkarin's variant H, `pyppmd`) reads all training text in the answer's language, one text a line, and
then the test answers one after the other. An answer costs the bytes that come out while it goes in; the sum over all answers is
the difference in compressed size, exact to the coder's last byte, and what single answers lose to whole bytes evens out.
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
from endonym.evaluate.items import direction_of, source_of
from endonym.types import Chat, Pair

GIVES = "nats"
"""This baseline gives no text: `prepare` returns a function from chats to the nats of their answers."""
TASKS: tuple[str, ...] = ()


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    order: int = Field(8, ge=2, le=64, description="Longest context in bytes.")
    memory_mib: int = Field(64, ge=1, le=2000, description="Memory of the compressor in MiB.")
    condition: Literal["target", "source"] = Field(
        "target", description="Read the target text alone, or pairs and sources too."
    )


def prepare(train: Dataset, cfg: Config) -> Callable[[Sequence[Chat]], list[float]]:
    """Return the function that gives the nats of the answers of chats of one task and direction, in order."""

    def nats(chats: Sequence[Chat]) -> list[float]:
        import pyppmd

        if not chats:
            return []
        encoder = pyppmd.Ppmd7Encoder(cfg.order, cfg.memory_mib << 20)
        encoder.encode(_reading(train, chats[0], cfg).encode())
        spent = []
        for chat in chats:
            if cfg.condition == "source":
                encoder.encode(f"{source_of(chat)}\t".encode())
            spent.append(len(encoder.encode(chat.answer.encode())))
            encoder.encode(b"\n")
        return [8 * math.log(2) * count for count in spent]

    return nats


def _reading(train: Dataset, chat: Chat, cfg: Config) -> str:
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
    return "".join(f"{line}\n" for line in lines)
