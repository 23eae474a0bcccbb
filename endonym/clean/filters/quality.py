"""Give every record a quality from 0 to 100 with its parts in sight, and drop what is below the floor."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.clean.cores import worked
from endonym.clean.spool import Spool
from endonym.data.quality import EDGE, noted
from endonym.types import Drop, Keep, Record

if TYPE_CHECKING:
    from endonym.clean.batch import Batch, Floats

PARTS = ["boilerplate", "script", "language", "symbols", "repetition", "length", "confidence", "adequacy"]
BATCH = 2000
MANY = 10_000
"""Records from which on it is worth while to measure on all cores."""


class Config(BaseModel):
    """Settings of the quality filter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    floor: float = Field(
        100 * EDGE,
        ge=0,
        le=100,
        description="Records below it are dropped; 0 keeps all. At 20 what is unlike trusted text goes.",
    )
    parts: list[str] = Field(
        PARTS, description="What is measured, in this order: each part is fitted on what those before it trust."
    )
    sample: int = Field(40_000, ge=100, description="Records that the parts are fitted on.")


def sift(records: Iterable[Record], cfg: Config) -> Generator[Keep | Drop, None, dict[str, Any]]:
    """Fit the parts on a sample of the records, then measure all of them; the total is the worst part.

    A part that has too little to go by says nothing, and a record of which no part says anything is taken for good.
    """
    from endonym import plugins
    from endonym.clean.batch import Batch

    modules = {name: plugins.load("part", name) for name in cfg.parts}
    with Spool() as spool:
        sample = Batch.of(_sampled(spool.through(records), cfg.sample))
        measures: dict[str, Callable[[Batch], Floats]] = {}
        earlier: Callable[[Batch], Floats] | None = None
        for name, module in modules.items():
            if earlier:  # the last part has none after it that would ask what it trusts
                sample.trusted &= ~(earlier(sample) < EDGE)
            earlier = measures[name] = module.fit(sample, module.Config())
        del sample
        totals: list[int] = [0] * 11

        def measured(batch: Batch) -> dict[str, list[float]]:
            return {name: measure(batch).tolist() for name, measure in measures.items()}

        for batch, values in worked(measured, _batches(spool), cores=0 if len(spool) >= MANY else 1):
            for i, record in enumerate(batch.records):
                parts = {name: found[i] for name, found in values.items() if found[i] == found[i]}
                quality = noted(parts)
                totals[int(quality["total"] // 10)] += 1
                made = replace(record, meta={**record.meta, "quality": quality})
                if quality["total"] >= cfg.floor:
                    yield Keep(made)
                else:
                    worst = min(parts, key=lambda name: parts[name])
                    said = ", ".join(
                        f"{name} {100 * value:.0f}" for name, value in sorted(parts.items(), key=lambda p: p[1])[:3]
                    )
                    yield Drop(made, f"quality.{worst}", f"quality {quality['total']:.0f}, floor {cfg.floor:g}: {said}")
    return {"tens": totals} if sum(totals) else {}


def _sampled(records: Iterator[Record], size: int) -> list[Record]:
    """At most `size` records, each as likely as any other (Vitter's algorithm R, 1985)."""
    rng = random.Random(11)
    kept = list(islice(records, size))
    for number, record in enumerate(records, size + 1):
        place = rng.randrange(number)
        if place < size:
            kept[place] = record
    return kept


def _batches(records: Iterable[Record]) -> Iterator[Batch]:
    from endonym.clean.batch import Batch

    stream = iter(records)
    while chunk := list(islice(stream, BATCH)):
        yield Batch.of(chunk)
