"""Noise in the training rows of a network over bytes: characters that are missing, others in their place, the other case."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from endonym.models.byte_tokenizer import OFFSET
from endonym.models.render import IGNORE, Example
from endonym.train.fit import RANDOM, Course
from endonym.train.settings import ByteConfig


def course(cfg: ByteConfig) -> Course:
    """Rows in random order, with the noise of the settings."""
    if not cfg.noise:
        return RANDOM
    return Course(disturbed=lambda example, seed: noisy(example, cfg.noise, random.Random(f"{cfg.seed}:{seed}")))


def noisy(example: Example, share: float, dice: random.Random) -> Example:
    """The row with noise in this share of its characters, half of the time; else as it is.

    Whole characters, so that it stays UTF-8. A third of them are left out. The others are only read wrongly, as another character
    of the row or in the other case, of as many bytes: what is learned there stays the right one, told from what is before it; the
    bytes that go on a character are then not learned, for a wrong one is before them.
    """
    if dice.random() < 0.5:
        return example
    ids, labels = list(example.ids), list(example.labels)
    text = characters(ids)
    gone: set[int] = set()
    for first, last in text:
        if dice.random() >= share:
            continue
        kind = dice.randrange(3)
        if kind == 0:
            gone.update(range(first, last))
            continue
        other = dice.choice(text) if kind == 1 else (first, last)
        found = example.ids[slice(*other)]
        if kind == 2:
            found = [OFFSET + b for b in bytes(i - OFFSET for i in found).decode(errors="replace").swapcase().encode()]
        if len(found) == last - first:
            ids[first:last] = found
            labels[first + 1 : last] = [IGNORE] * (last - first - 1)
    left = [t for t in range(len(ids)) if t not in gone]
    return replace(example, ids=[ids[t] for t in left], labels=[labels[t] for t in left])


def characters(ids: Sequence[int]) -> list[tuple[int, int]]:
    """Where each character of a row begins and ends; marks of a conversation are none."""
    starts = [t for t, i in enumerate(ids) if (i - OFFSET) & 0xC0 != 0x80 or i < OFFSET]
    return [(a, b) for a, b in zip(starts, [*starts[1:], len(ids)], strict=True) if ids[a] >= OFFSET]
