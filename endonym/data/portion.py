"""Chats drawn for a purpose: a share of the training rows by the records they are of, and rows of the same sorts from two sides."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from endonym.data.leaks import made_of
from endonym.types import Chat

Sort = tuple[str, str]
"""Task and direction."""


def direction_of(chat: Chat) -> str:
    """Direction of a chat as tables show it: `spa>tzh`, or the language of the answer."""
    return str(chat.meta.get("direction") or chat.language or "")


def portion(chats: Sequence[Chat], share: float, seed: int) -> list[Chat]:
    """The chats of a share (0 to 1) of the records, drawn with the seed; those of a smaller share are among those of a larger."""
    if share >= 1:
        return list(chats)
    records = sorted({made_of(chat) for chat in chats}, key=lambda name: _lot(f"share:{seed}:{name}"))
    kept = set(records[: math.ceil(share * len(records))])
    return [chat for chat in chats if made_of(chat) in kept]


def alike(
    sides: Mapping[str, Iterable[Chat]], number: int, seed: int, fits: Callable[[Chat], bool]
) -> dict[str, list[Chat]]:
    """As many chats of each sort from every side, at most `number` a side, drawn with the seed; each answer once.

    Only chats that `fits` are drawn, and only sorts that all sides have.
    """
    sorts = {name: _by_sort(chats, fits) for name, chats in sides.items()}
    shared = sorted(set[Sort].intersection(*map(set, sorts.values())))
    counts = {sort: min(len(side[sort]) for side in sorts.values()) for sort in shared}
    found: dict[str, list[Chat]] = {name: [] for name in sides}
    room = number
    # The rarest sort first, so that what it leaves free goes to the others.
    for left, sort in zip(range(len(shared), 0, -1), sorted(shared, key=lambda s: (counts[s], s)), strict=True):
        taken = min(-(-room // left), counts[sort])
        room -= taken
        for name, side in sorts.items():
            found[name] += sorted(side[sort], key=lambda chat: _lot(f"{seed}:{chat.answer}"))[:taken]
    return found


def _by_sort(chats: Iterable[Chat], fits: Callable[[Chat], bool]) -> dict[Sort, list[Chat]]:
    found: dict[Sort, dict[str, Chat]] = {}
    for chat in chats:
        if fits(chat):
            found.setdefault((chat.task, direction_of(chat)), {}).setdefault(chat.answer, chat)
    return {sort: list(group.values()) for sort, group in found.items()}


def _lot(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
