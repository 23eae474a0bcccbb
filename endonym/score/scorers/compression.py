"""Texts unlike the rest are harder: bits per byte a compressor needs that has seen other training rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from endonym.score.texts import whole
from endonym.types import Chat

if TYPE_CHECKING:
    from endonym.jobs.job import Job

WINDOW = 32_768
"""Bytes that deflate can look back on (RFC 1951)."""


class Config(BaseModel):
    """Compression has no settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def score(chats: Sequence[Chat], cfg: Config, job: Job) -> list[float]:
    """Bits per byte of each chat's text after deflate with a dictionary of the other half of the rows.

    The halves are drawn by record, so that no text finds itself, nor the same pair asked in the other direction. Compression ratio
    as a sign of difficulty: Zhang and others, Beyond Random Sampling: Efficient Language Model Pretraining via Curriculum Learning
    (2025).
    """
    import random
    import zlib

    halves = [_half(chat) for chat in chats]
    dictionaries = []
    for half in (0, 1):
        others = list(dict.fromkeys(whole(chat) for chat, own in zip(chats, halves) if own != half))
        random.Random(job.project.seed).shuffle(others)
        dictionaries.append("\n".join(others).encode()[:WINDOW])

    def size(text: bytes, half: int) -> int:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, dictionaries[half])
        return len(packer.compress(text) + packer.flush())

    results = []
    for chat, half in zip(chats, halves):
        text = whole(chat).encode()
        results.append(8 * (size(text, half) - size(b"", half)) / max(1, len(text)))
    return results


def _half(chat: Chat) -> int:
    import zlib

    return zlib.crc32(str(chat.meta.get("record", chat.id)).encode()) % 2
