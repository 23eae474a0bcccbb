"""Read the project's sources into records, each with its place in its file and its licence."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.dataset import DatasetWriter
from endonym.errors import DataError, EndonymError, Problem, UsageError
from endonym.types import Drop

if TYPE_CHECKING:
    from endonym.ingest.source import Source
    from endonym.jobs.job import Job

CHOICE = "none"
INPUTS: dict[str, str] = {}
PRODUCES = "raw"


class Config(BaseModel):
    """Settings of ingestion; what concerns one file stands in its `[[sources]]` table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    most: int = Field(
        0, ge=0, description="Take at most this many records of each source, for a quick trial; 0 is all."
    )


def run(cfg: Config, job: Job) -> None:
    """Read all sources. When one has problems nothing is written, and one error lists the problems of all of them."""
    if not job.project.sources:
        raise UsageError("the project has no sources yet", "Add your files: endonym add FILES...")
    try:
        _write(cfg, job)
    except EndonymError:
        for file in job.output.iterdir():
            file.unlink()
        raise


def _write(cfg: Config, job: Job) -> None:
    sources, problems, hints = _open_all(job)
    counts: Counter[str] = Counter()
    seen: dict[str, str] = {}
    about = [{"files": source.files, **source.about} for source in sources]
    with DatasetWriter(job.output, sources=about) as out:
        out.keep_empty()
        for number, source in enumerate(sources):
            try:
                found = _write_source(source, cfg, job, out, seen, f"{number + 1} of {len(sources)}")
                job.log(
                    f"{', '.join(source.files)} ({source.reader}): " + ", ".join(f"{n:,} {k}" for k, n in found.items())
                )
                counts += found
                for line in _measured(source, job):
                    job.log(line)
            except DataError as error:
                problems += error.problems
                hints.append(error.hint)
            if job.cancelled():
                return
        if problems:
            hint = next((hint for hint in hints if hint), "")
            raise DataError(problems, hint or "Repair them, or take the source out: endonym sources remove FILE")
        if (
            not any(number for kind, number in counts.items() if kind not in ("left out", "waiting"))
            and not counts["waiting"]
        ):
            raise DataError(
                Problem("endonym.toml", 0, "sources", "the sources hold no record", "look at them: endonym sources")
            )
    job.tick(1, 1)
    if counts["waiting"]:
        job.log(f"{counts['waiting']:,} passages wait for a person: endonym review")
    job.summary(sources=len(sources), **{key.replace(" ", "_"): n for key, n in sorted(counts.items())})


def _write_source(
    source: Source, cfg: Config, job: Job, out: DatasetWriter, seen: dict[str, str], place: str
) -> Counter[str]:
    from endonym.ingest.review import waits
    from endonym.ingest.source import records

    found: Counter[str] = Counter()
    looked = time.monotonic()
    for number, item in enumerate(records(source, job.project.path), 1):
        record = item.record if isinstance(item, Drop) else item
        if record.id in seen:
            raise DataError(_twice(record.origin, seen[record.id], source))
        seen[record.id] = record.origin
        out.read(record)
        if isinstance(item, Drop):
            out.drop(item)
            found["left out"] += 1
            if waits(item.reason):
                found["waiting"] += 1
        else:
            out.keep(record)
            found[record.kind] += 1
        if number % 1000 == 0 or time.monotonic() - looked > 1:
            looked = time.monotonic()
            # How much of a file is still to come is not known.
            job.tick(number, 0, "records", source=place)
            if job.cancelled():
                break
        if number == cfg.most:
            break
    return found


def _measured(source: Source, job: Job) -> list[str]:
    """Error rates where a person's text stands beside what was recognised."""
    if not hasattr(source.module, "measured"):
        return []
    return [said for name in source.files if (said := source.module.measured(job.project.path / name, source.config))]


def _open_all(job: Job) -> tuple[list[Source], list[Problem], list[str]]:
    """Sources that can be read, and the problems of those that cannot."""
    from endonym.ingest.source import open_source

    sources, problems, hints = [], [], []
    for number, table in enumerate(job.project.sources, 1):
        try:
            sources.append(open_source(job.project, table, number))
        except DataError as error:
            problems += error.problems
            hints.append(error.hint)
        except EndonymError as error:
            problems.append(Problem(str(table["files"][0]), 0, "", error.message, error.hint))
    return sources, problems, hints


def _twice(origin: str, before: str, source: Source) -> Problem:
    file, _, line = origin.rpartition(":")
    return Problem(file, int(line) if line.isdigit() else 0, "", f"the same file is read twice, first as {before}",
                   f"take one of them out: endonym sources remove {source.files[0]}")  # fmt: skip
