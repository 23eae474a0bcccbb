"""Job rows: create, claim, renew, finish, list; a dead worker's job becomes `needs_recovery`."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from endonym.errors import JobError, UsageError
from endonym.store.db import transaction

LEASE_SECONDS = 15.0
RESUMABLE = ("failed", "cancelled", "needs_recovery", "queued")


@dataclass(frozen=True)
class JobRow:
    """One row of the jobs table."""

    id: int
    verb: str
    plugin: str
    key: str
    state: str
    settings: dict[str, Any]
    inputs: dict[str, Any]
    """Input name -> job id, or list of job ids."""
    folder: str
    """Name of the run folder inside `runs/`."""
    created: float
    started: float | None
    finished: float | None
    attempt: int
    worker: str
    lease_until: float | None
    cancel_requested: bool
    error: dict[str, Any]
    summary: dict[str, Any]

    @property
    def name(self) -> str:
        """`train lora`, or just the verb."""
        return f"{self.verb} {self.plugin}".strip()


def create(
    db: sqlite3.Connection, verb: str, plugin: str, key: str, settings: dict[str, Any], inputs: dict[str, Any]
) -> JobRow:
    """Insert a queued job and return it; its folder name carries its number, verb and plugin."""
    with transaction(db):
        number = db.execute("SELECT COALESCE(MAX(id), 0) + 1 FROM jobs").fetchone()[0]
        folder = "-".join(part for part in (f"{number:04d}", verb, plugin) if part)
        db.execute(
            "INSERT INTO jobs (id, verb, plugin, key, state, settings, inputs, folder, created) VALUES (?,?,?,?,'queued',?,?,?,?)",
            (number, verb, plugin, key, json.dumps(settings), json.dumps(inputs), folder, time.time()),
        )
    return get(db, number)


def get(db: sqlite3.Connection, job: int) -> JobRow:
    """Return job `job`; raises UsageError when there is none."""
    row = db.execute("SELECT * FROM jobs WHERE id = ?", (job,)).fetchone()
    if row is None:
        raise UsageError(f"there is no job {job} in this project", "See: endonym jobs ls")
    return _row(row)


def listing(db: sqlite3.Connection) -> list[JobRow]:
    """All jobs, oldest first, with dead workers already noticed."""
    notice_dead(db)
    return [_row(row) for row in db.execute("SELECT * FROM jobs ORDER BY id")]


def done_with_key(db: sqlite3.Connection, key: str) -> JobRow | None:
    """The newest job with this key that succeeded, if any."""
    row = db.execute(
        "SELECT * FROM jobs WHERE key = ? AND state = 'succeeded' ORDER BY id DESC LIMIT 1", (key,)
    ).fetchone()
    return _row(row) if row else None


def open_with_key(db: sqlite3.Connection, key: str) -> JobRow | None:
    """The newest job with this key that did not finish, if any."""
    row = db.execute(
        "SELECT * FROM jobs WHERE key = ? AND state != 'succeeded' ORDER BY id DESC LIMIT 1", (key,)
    ).fetchone()
    return _row(row) if row else None


def newest_artifact(db: sqlite3.Connection, kind: str) -> int | None:
    """Job id of the newest artifact of `kind`."""
    row = db.execute("SELECT job FROM artifacts WHERE kind = ? ORDER BY job DESC LIMIT 1", (kind,)).fetchone()
    return int(row["job"]) if row else None


def artifacts(db: sqlite3.Connection, kind: str | None = None) -> list[sqlite3.Row]:
    """Artifact rows (job, kind, hash, parents, created), oldest first."""
    if kind is None:
        return db.execute("SELECT * FROM artifacts ORDER BY job").fetchall()
    return db.execute("SELECT * FROM artifacts WHERE kind = ? ORDER BY job", (kind,)).fetchall()


def artifact_hash(db: sqlite3.Connection, job: int) -> str:
    """Hash of the artifact job `job` made."""
    return str(db.execute("SELECT hash FROM artifacts WHERE job = ?", (job,)).fetchone()["hash"])


def claim(db: sqlite3.Connection, job: int, worker: str) -> JobRow:
    """Make `job` running under `worker`; raises JobError when it is running elsewhere or already done."""
    notice_dead(db)
    now = time.time()
    with transaction(db):
        changed = db.execute(
            "UPDATE jobs SET state='running', worker=?, lease_until=?, started=COALESCE(started, ?), finished=NULL,"
            " attempt=attempt+1, cancel_requested=0, error='' WHERE id=? AND state='queued'",
            (worker, now + LEASE_SECONDS, now, job),
        ).rowcount
    if not changed:
        raise JobError(f"job {job} is {get(db, job).state}, not queued", "See: endonym jobs show " + str(job))
    return get(db, job)


def requeue(db: sqlite3.Connection, job: int) -> None:
    """Put a job that did not succeed back in the queue; raises JobError when it is running or done."""
    notice_dead(db)
    with transaction(db):
        marks = ",".join("?" * len(RESUMABLE))
        changed = db.execute(
            f"UPDATE jobs SET state='queued', cancel_requested=0 WHERE id=? AND state IN ({marks})", (job, *RESUMABLE)
        ).rowcount
    if not changed:
        raise JobError(f"job {job} is {get(db, job).state}: there is nothing to resume", "See: endonym jobs ls")


def renew(db: sqlite3.Connection, job: int) -> bool:
    """Extend the lease of a running job; return whether the user asked to cancel it."""
    db.execute("UPDATE jobs SET lease_until=? WHERE id=? AND state='running'", (time.time() + LEASE_SECONDS, job))
    row = db.execute("SELECT cancel_requested FROM jobs WHERE id=?", (job,)).fetchone()
    return bool(row and row["cancel_requested"])


def finish(db: sqlite3.Connection, job: int, state: str, error: dict[str, Any], summary: dict[str, Any]) -> None:
    """Move a running job to its end state."""
    db.execute(
        "UPDATE jobs SET state=?, finished=?, error=?, summary=?, lease_until=NULL WHERE id=? AND state='running'",
        (state, time.time(), json.dumps(error) if error else "", json.dumps(summary, ensure_ascii=False), job),
    )


def restart(db: sqlite3.Connection, job: int) -> bool:
    """Put a job whose worker is ending, or was found dead, back in the queue; False when it has been cancelled or taken over."""
    return bool(
        db.execute(
            "UPDATE jobs SET state='queued', finished=NULL, lease_until=NULL, error=''"
            " WHERE id=? AND state IN ('running', 'needs_recovery') AND cancel_requested=0",
            (job,),
        ).rowcount
    )


def abandon(db: sqlite3.Connection, job: int, error: dict[str, Any]) -> None:
    """Let a job fail whose worker ended before it could claim it."""
    db.execute(
        "UPDATE jobs SET state='failed', finished=?, error=? WHERE id=? AND state='queued'",
        (time.time(), json.dumps(error), job),
    )


def request_cancel(db: sqlite3.Connection, job: int) -> str:
    """Ask a job to stop at its next safe point and return its state; a queued one is cancelled at once."""
    with transaction(db):
        db.execute("UPDATE jobs SET state='cancelled', finished=? WHERE id=? AND state='queued'", (time.time(), job))
        db.execute("UPDATE jobs SET cancel_requested=1 WHERE id=? AND state='running'", (job,))
    return get(db, job).state


def register_artifact(db: sqlite3.Connection, job: int, kind: str, content_hash: str, parents: list[str]) -> None:
    """Record what a job made; parents are artifact hashes."""
    db.execute(
        "INSERT OR REPLACE INTO artifacts (job, kind, hash, parents, created) VALUES (?,?,?,?,?)",
        (job, kind, content_hash, json.dumps(parents), time.time()),
    )


def notice_dead(db: sqlite3.Connection) -> None:
    """Mark running jobs whose worker is gone, or whose lease ran out, as `needs_recovery`."""
    for row in db.execute("SELECT id, worker, lease_until FROM jobs WHERE state='running'").fetchall():
        expired = row["lease_until"] is not None and row["lease_until"] < time.time()
        if is_alive(row["worker"]) is False or (expired and is_alive(row["worker"]) is not True):
            error = {"type": "JobError", "message": "its worker stopped without a word", "exit_code": 7,
                     "hint": f"Go on from the last checkpoint with: endonym jobs resume {row['id']}"}  # fmt: skip
            db.execute(
                "UPDATE jobs SET state='needs_recovery', finished=?, lease_until=NULL, error=? WHERE id=? AND state='running'",
                (time.time(), json.dumps(error), row["id"]),
            )


def identity(guard: int = 0) -> str:
    """This process, told apart from a later one that got the same number: host, boot, pid, start time.

    With the pid of a `guard`, the same of the process that starts the worker anew when the system kills it.
    """
    pids = [os.getpid(), guard] if guard else [os.getpid()]
    return "|".join([platform.node(), _boot_id(), *(f"{pid}|{_start_time(pid)}" for pid in pids)])


def is_alive(worker: str) -> bool | None:
    """Whether a worker process, or its guard, lives: True, False, or None when it cannot be known (another machine)."""
    host, boot, *processes = worker.split("|") if worker.count("|") in (3, 5) else ("", "")
    if not processes or host != platform.node():
        return None
    if boot != _boot_id():
        return False
    return any(_is_running(int(pid), start) for pid, start in zip(processes[::2], processes[1::2], strict=True))


def _is_running(pid: int, start: str) -> bool:
    started = _start_time(pid)
    if started:
        return started == start
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return bool(not Path("/proc/self/stat").exists())


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def _start_time(pid: int) -> str:
    """Start time of a process in clock ticks since boot, or `""` where /proc does not tell or it is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


def _row(row: sqlite3.Row) -> JobRow:
    values = dict(row)
    for name in ("settings", "inputs", "summary"):
        values[name] = json.loads(values[name])
    values["error"] = json.loads(values["error"]) if values["error"] else {}
    values["cancel_requested"] = bool(values["cancel_requested"])
    return JobRow(**values)
