"""What made records may be used for training: those made of this very split, and no more of them than their share."""

from __future__ import annotations

import random
from collections.abc import Sequence

from endonym.data.dataset import Dataset
from endonym.types import Pair, Record


def cap(share: float, real: int) -> int:
    """How many made records may stand beside `real` ones, so that they are at most `share` of all."""
    return int(share / (1 - share) * real + 1e-9)


def fits(augmented: Dataset, split: Dataset) -> bool:
    """Whether the records were made of this split; those of another may say what is held out now."""
    return bool(augmented.manifest["parents"] == [split.hash])


def beside(augmented: Dataset, train: Sequence[Record], seed: int) -> list[Record]:
    """The made records, or as many of them as their share allows beside the pairs of `train`, drawn at random."""
    made = list(augmented.records("train"))
    most = cap(float(augmented.manifest["share"]), sum(isinstance(record, Pair) for record in train))
    return made if len(made) <= most else random.Random(seed).sample(made, most)
