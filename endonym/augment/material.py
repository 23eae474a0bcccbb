"""What an augmenter is handed beside the records, and the form in which it gives made pairs back."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from endonym.augment.aligned import Aligned, aligned
from endonym.data.rights import together
from endonym.types import Pair, Record, record_id


def _silent(*what: Any) -> None:
    return None


@dataclass(frozen=True)
class Context:
    """Handed to an augmenter's `grow(records, cfg, context)`."""

    project: Path
    language: str
    pivot: str
    seed: int
    most: int
    """More than this many records are not taken."""
    model: Path | None = None
    """The artifact of the project's model, where the augmenter asked for one."""
    chats: Path | None = None
    """The chats that model was trained on: how it is asked."""
    log: Callable[[str], None] = _silent
    tick: Callable[[int, int], None] = _silent
    cancelled: Callable[[], bool] = field(default=lambda: False)

    memory: dict[Any, Any] = field(default_factory=dict, repr=False)
    """What took long and is asked for again, by another augmenter or when all is made that a trial made a part of."""

    def aligned(self, records: Sequence[Record]) -> list[Aligned]:
        """The pairs of `records` with their words aligned, which several augmenters ask for and takes seconds."""
        # The records are kept with it, so that no other list gets their number.
        if id(records) not in self.memory:
            self.memory[id(records)] = records, aligned(records, self.language, self.pivot)
        found: list[Aligned] = self.memory[id(records)][1]
        return found

    def random(self, name: str) -> random.Random:
        """Random numbers that are the same in every run of the project."""
        return random.Random(f"{self.seed}:{name}")


def made_pair(
    augmenter: str,
    like: Pair,
    texts: Mapping[str, str],
    used: Sequence[Record],
    exchanged: Sequence[Mapping[str, Any]],
    direction: str = "",
) -> Pair:
    """A pair with `texts` by language in the place of those of `like`, and where it is from.

    `used` are the records it is made of, `exchanged` what was put for what. With a `direction` (`spa>tzh`) only the second side is fit
    to be learned.
    """
    source, target = texts[like.source_language], texts[like.target_language]
    headwords = dict.fromkeys(h for record in used for h in record.meta.get("headwords", ()))
    meta: dict[str, Any] = {
        "augmented": augmenter,
        "made_from": list(dict.fromkeys(record.id for record in used)),
        "exchanged": [dict(one) for one in exchanged],
    }
    meta |= {"headwords": list(headwords)} if headwords else {}
    meta |= together(record.meta for record in used)
    meta |= {"direction": direction} if direction else {}
    identity = record_id("augment", augmenter, source, target, direction)
    return Pair(identity, source, target, like.source_language, like.target_language, like.origin, meta)
