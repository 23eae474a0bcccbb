"""Join records that must stay on one side, and choose which of the joined groups are held out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import ModuleType
from typing import Any

from endonym.data.leaks import marks
from endonym.data.union_find import UnionFind
from endonym.types import Record

LARGEST_SHARE = 0.1
"""A group that would fill more than this share of a held-out split stays in training, as long as smaller ones are enough."""


FIRST_FILLED = ("pair", "chat", "preference", "doc", "entry")
"""Order in which the kinds of records are held out: entries last, since example sentences bring theirs along."""


@dataclass(frozen=True)
class Quota:
    """How many records of each kind a held-out split wants."""

    split: str
    wanted: Mapping[str, int]


def join(records: Sequence[Record], groupers: Mapping[str, tuple[ModuleType, Any]], spans: bool) -> list[list[int]]:
    """Groups of record numbers: two records that share a key of any grouper are in one, in order of their first record.

    With `spans`, records that share what the leak check compares are joined too.
    """
    joined = UnionFind(len(records))
    first: dict[tuple[str, str], int] = {}
    for name, (module, cfg) in groupers.items():
        state = (module.prepare(records, cfg),) if hasattr(module, "prepare") else ()
        for i, record in enumerate(records):
            for key in _keys(module.group(record, cfg, *state)):
                joined.join(i, first.setdefault((name, key), i))
    if spans:
        for a, b in _sharing(records):
            joined.join(a, b)
    groups: dict[int, list[int]] = {}
    for i, name_of_group in enumerate(joined.groups()):
        groups.setdefault(name_of_group, []).append(i)
    return list(groups.values())


def choose(records: Sequence[Record], groups: Sequence[list[int]], quotas: Sequence[Quota], seed: int) -> list[str]:
    """Split of each group: the quotas are filled in turn with groups in an order drawn from `seed`, the rest is `train`.

    The order depends on what is in a group and not on where it stands, so adding records leaves most of the test set as it was.
    """
    drawn = sorted(range(len(groups)), key=lambda g: _draw(records, groups[g], seed))
    kinds = [Counter(records[i].kind for i in group) for group in groups]
    splits = ["train"] * len(groups)
    for quota in quotas:
        have: Counter[str] = Counter()
        for kind, share in product(FIRST_FILLED, (LARGEST_SHARE, 1.0)):
            for g in drawn:
                if splits[g] == "train" and kinds[g][kind] and _fits(kinds[g], have, quota.wanted, kind, share):
                    splits[g] = quota.split
                    have += kinds[g]
    return splits


def quota(split: str, counts: Mapping[str, int], size: int, largest_share: float) -> Quota:
    """`size` records of every kind, but never more than `largest_share` of those there are."""
    return Quota(split, {kind: min(size, int(count * largest_share)) for kind, count in counts.items()})


def filled(records: Sequence[Record], groups: Sequence[list[int]], splits: Sequence[str], wanted: Quota) -> float:
    """Share of a quota that was found, over the kind that is worst off."""
    have = Counter(records[i].kind for g, group in enumerate(groups) if splits[g] == wanted.split for i in group)
    return min((have[kind] / number for kind, number in wanted.wanted.items() if number), default=1.0)


def _fits(kinds: Counter[str], have: Counter[str], wanted: Mapping[str, int], kind: str, share: float) -> bool:
    """Whether a group brings some of a kind still wanted, and neither too much of anything nor too much in one piece."""
    return have[kind] < wanted[kind] and all(
        number <= max(1, share * wanted[other]) and have[other] + number <= wanted[other] * (1 + LARGEST_SHARE) + 1
        for other, number in kinds.items()
    )


def _draw(records: Sequence[Record], group: Iterable[int], seed: int) -> bytes:
    return min(hashlib.sha256(f"{seed}:{records[i].id}".encode()).digest() for i in group)


def _keys(found: str | Iterable[str] | None) -> Iterable[str]:
    return (found,) if isinstance(found, str) else found or ()


def _sharing(records: Sequence[Record]) -> list[list[int]]:
    """Pairs of records that have a mark in common, enough of them to link all that have it."""
    import numpy as np

    found = marks(records)
    order = np.argsort(found.hashes, kind="stable")
    hashes, owners = found.hashes[order], found.owners[order]
    same = (hashes[1:] == hashes[:-1]) & (owners[1:] != owners[:-1])
    links: list[list[int]] = np.unique(np.column_stack([owners[:-1][same], owners[1:][same]]), axis=0).tolist()
    return links
