"""Start other verbs as jobs of this one, wait for them, and pass on what they recover from and the wish to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from endonym.errors import JobError
from endonym.jobs.job import Job
from endonym.jobs.submit import job_error, look_after, submit
from endonym.store import events
from endonym.store import jobs as rows
from endonym.teach.checklist import Stopped

POLL_SECONDS = 0.15
TOLD = ("warning", "recovery", "waiting")
"""Events of a child that its step tells."""


def run_child(
    job: Job,
    verb: str,
    plugin: str = "",
    settings: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Any] | None = None,
    begun: Callable[[int], None] = lambda number: None,
    told: Callable[[str], None] = lambda text: None,
) -> rows.JobRow:
    """The finished child with this work, started or found by its key. Raises its error, or Stopped when the user wants to stop.

    `begun` is called with its number, `told` with what it recovered from.
    """
    db = job.project.db
    for attempt in range(rows.MOST_LOST + 1):
        # What a child that is gone on with recovered from before, was told then.
        after = int(db.execute("SELECT COALESCE(MAX(id), 0) FROM events").fetchone()[0])
        row = submit(job.project, verb, plugin, settings, inputs=inputs, parent=job.id)
        begun(row.id)
        row = _wait(job, row, after, told)
        if row.state == "succeeded":
            return row
        if job.cancelled() or row.state == "paused":
            # A child that was paused on its own pauses this job too: there is nothing to go on with.
            job.stop()
            job.cancelled()
            raise Stopped
        if row.state != "needs_recovery" or attempt == rows.MOST_LOST:
            break
        told(f"the process of job {row.id} was lost; it goes on from its last checkpoint")
    raise (
        job_error(rows.get(db, row.id))
        if row.state != "cancelled"
        else JobError(f"job {row.id} ({row.name}) was cancelled", f"Go on with: endonym jobs resume {job.id}")
    )


def _wait(job: Job, row: rows.JobRow, after: int, told: Callable[[str], None]) -> rows.JobRow:
    """Wait until a child has stopped, passing on a wish to stop, and what it recovers from after event `after`."""
    db, asked = job.project.db, False
    while True:
        row = look_after(job.project, row.id)
        for event in events.since(db, row.id, after):
            after = event.id
            if event.kind in TOLD and event.data.get("text"):
                waits = "waiting for " if event.kind == "waiting" else ""
                told(f"{waits}{event.data['text']}")
        if row.state not in rows.ACTIVE:
            return row
        if not asked and job.cancelled():
            asked = True
            rows.request_pause(db, row.id)
        time.sleep(POLL_SECONDS)
