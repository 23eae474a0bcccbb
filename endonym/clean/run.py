"""Keep every record, repaired where needed, or drop it with a reason; every character is accounted for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Iterator
from itertools import count
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from endonym.data.dataset import Dataset, DatasetWriter
from endonym.store.files import write_json
from endonym.types import Drop, Keep, Record

if TYPE_CHECKING:
    from endonym.jobs.job import Job

KIND = "filter"
CHOICE = "many"
DEFAULT = [
    "unicode",
    "mojibake",
    "mixed_script",
    "script_forms",
    "pii",
    "length",
    "ratio",
    "script",
    "language",
    "duplicate",
    "near_duplicate",
    "quality",
]
INPUTS = {"dataset": "raw"}
MANY = 10_000
"""Records that a filter must have taken before it let the first pass, for its own progress to be shown."""
PRODUCES = "clean"


class Config(BaseModel):
    """Settings of cleaning; each filter has its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def run(cfg: Config, job: Job) -> None:
    """Pass the records through the filters in order.

    A filter is a generator over `Keep` and `Drop`; what it returns at its end (a dict) goes to `filters.json`. Counts per
    Unicode block under `added` and `removed` in it balance the ledger: in + added = kept + dropped + removed. `tables` in it are
    shown at the end of the job, `repairs` (what was or could be changed, before and after) go to `repairs.jsonl`.
    """
    dataset = Dataset.of(job, "dataset")
    facts: dict[str, Any] = {}
    dropped: Counter[str] = Counter()
    kept = 0
    with DatasetWriter(job.output, parents=[dataset.hash]) as out:
        out.keep_empty()
        stream = _counted(dataset, out, job)
        for name, (module, config) in job.plugins.items():
            stream = _filtered(stream, name, module, _located(config, job), out, facts, dropped, job)
        for record in stream:
            out.keep(record)
            kept += 1
            if job.cancelled():
                return
    _write_repairs(facts, job)
    write_json(job.output / "filters.json", facts)
    _check_balance(Dataset(job.output, job.verb), facts, job)
    total = kept + sum(dropped.values())
    job.summary(
        kept=kept, dropped=total - kept, share_dropped=round((total - kept) / total, 4) if total else 0.0, **dropped
    )
    tables = [table for fact in facts.values() for table in fact.get("tables", ())]
    if tables:
        job.summary(tables=tables)


def _write_repairs(facts: dict[str, Any], job: Job) -> None:
    """Put the repairs that filters offer or made into `repairs.jsonl`, a line each, beside the ledger of what was dropped."""
    listed = {name: fact.pop("repairs") for name, fact in facts.items() if "repairs" in fact}
    if any(listed.values()):
        with (job.output / "repairs.jsonl").open("w", encoding="utf-8") as out:
            for name, repairs in listed.items():
                out.writelines(json.dumps({"filter": name, **repair}, ensure_ascii=False) + "\n" for repair in repairs)


def _counted(dataset: Dataset, out: DatasetWriter, job: Job) -> Iterator[Record]:
    total = dataset.count()
    for number, record in enumerate(dataset.records(), 1):
        out.read(record)
        if number % 200 == 0 or number == total:
            job.tick(number, total, "records")
        yield record


def _located(config: Any, job: Job) -> Any:
    """The filter's settings with the project's two languages where it asks for them and none are set."""
    wanted = {"language": job.project.language, "pivot": job.project.pivot}
    update = {key: value for key, value in wanted.items() if getattr(config, key, None) == ""}
    return config.model_copy(update=update) if update else config


def _filtered(
    stream: Iterator[Record],
    name: str,
    module: ModuleType,
    config: Any,
    out: DatasetWriter,
    facts: dict[str, Any],
    dropped: Counter[str],
    job: Job,
) -> Iterator[Record]:
    """What a filter keeps. One that must see many records before it lets the first pass shows its own progress over them."""
    given = held = 0

    def counted() -> Iterator[Record]:
        nonlocal given
        for record in stream:
            given += 1
            yield record

    items: Generator[Keep | Drop, None, Any] = module.sift(counted(), config)
    iterator = iter(items)
    for number in count(1):
        try:
            item = next(iterator)
        except StopIteration as end:
            if end.value:
                facts[name] = end.value
            return
        held = held or given
        if held >= MANY and (number % 200 == 0 or number == given):
            job.tick(number, given, "records", filter=name)
        if isinstance(item, Keep):
            yield item.record
        else:
            out.drop(item)
            dropped[item.reason] += 1


def _check_balance(made: Dataset, facts: dict[str, Any], job: Job) -> None:
    """Warn when a filter changed characters that it did not report."""
    told: Counter[str] = Counter()
    for fact in facts.values():
        told.update(fact.get("added", {}))
        told.subtract(fact.get("removed", {}))
    odd = {
        block: row["changed"] - told[block]
        for block, row in made.manifest["characters"].items()
        if row["changed"] != told[block]
    }
    if odd:
        job.event("warning", text=f"a filter changed characters without counting them: {odd}", blocks=odd)
