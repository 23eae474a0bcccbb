"""Keep of what an augmenter makes what is new, says nothing against what is known, and touches nothing that is held out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from endonym.data import leaks
from endonym.data.near_dup import normalise
from endonym.types import Drop, Pair, Record

if TYPE_CHECKING:
    from endonym.augment.material import Context
    from endonym.jobs.job import Job

BLOCK = 2000
"""Made records that are compared with what is held out at once, at most."""


class Sieve:
    """Tells made records that may be used from those that may not, whose they ever are."""

    def __init__(self, split: Path, train: Sequence[Record]):
        self.split = split
        self.known = {key for record in train for key in leaks.exchanges(record)}
        self.sides = {(code, normalise(text)) for r in train if isinstance(r, Pair) for code, text in r.texts()}

    def sifted(self, made: Iterable[Record], most: int) -> Iterator[Record | Drop]:
        """The first `most` usable records, and a drop for each that is not; nothing more is made than is needed."""
        kept = 0
        seen: set[tuple[str, str]] = set()
        for block in _blocks(made, min(BLOCK, 2 * max(1, most))):
            sealed = leaks.held_out(self.split, block)
            for record in block:
                if kept >= most:
                    return
                drop = self._refused(record, seen, sealed)
                if drop is None:
                    seen |= leaks.exchanges(record)
                    kept += 1
                yield drop or record

    def _refused(self, record: Record, seen: set[tuple[str, str]], sealed: set[str]) -> Drop | None:
        keys = leaks.exchanges(record)
        if record.id in sealed:
            return Drop(record, "augment.held_out", "it shares text or a headword with a held-out split")
        if not keys:
            return Drop(record, "augment.empty", "a side has no letters")
        if keys & self.known:
            return Drop(record, "augment.known", "the training data has this pair")
        if keys & seen:
            return Drop(record, "augment.twice", "it was made before")
        # A pair that is asked from one side alone has the other from the data, rightly.
        if "direction" not in record.meta and any(
            (code, normalise(text)) in self.sides for code, text in record.texts()
        ):
            return Drop(record, "augment.contradicts", "the training data translates one of the sides otherwise")
        return None


def grown_by(
    name: str, job: Job, records: Sequence[Record], context: Context, sieve: Sieve
) -> tuple[list[Record], list[Drop]]:
    """What an augmenter makes of `records` that may be used, and what of it may not."""
    module, settings = job.plugins[name]
    made: list[Record] = []
    dropped: list[Drop] = []
    for found in sieve.sifted(module.grow(records, settings, context), context.most):
        if isinstance(found, Drop):
            dropped.append(found)
        else:
            made.append(found)
        job.tick(len(made), context.most, f"made by {name}")
    return made, dropped


def _blocks(made: Iterable[Record], size: int) -> Iterator[list[Record]]:
    block: list[Record] = []
    for record in made:
        block.append(record)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block
