"""Job rows and the states they go through; each change of state is one transaction with its event.

queued -> running -> succeeded, failed, cancelled, which are final, or paused and needs_recovery, which go on under the same number.
What was asked of a job (to pause, to end) reaches the jobs it has started as well.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from endonym.errors import JobError, UsageError
from endonym.store import events
from endonym.store.db import runs_of, transaction
from endonym.store.process import is_alive
from endonym.store.row import JobRow, from_row

LEASE_SECONDS = 15.0
MOST_LOST = 3
"""A job whose workers die one after the other is started again so many times."""
FINAL = ("succeeded", "failed", "cancelled")
ACTIVE = ("queued", "running")
"""States in which a worker works, or is about to."""
_FAMILY = (
    "WITH RECURSIVE family (id) AS (SELECT ? UNION SELECT jobs.id FROM jobs JOIN family ON jobs.parent = family.id)"
)


def find_or_create(
    db: sqlite3.Connection,
    verb: str,
    plugin: str,
    key: str,
    settings: dict[str, Any],
    inputs: dict[str, Any],
    *,
    parent: int | None = None,
) -> JobRow:
    """The job with this key that succeeded or has not ended, else a new one, which continues one that failed or was cancelled.

    A new one is queued and has a run folder, whose name carries its number, verb and plugin.
    """
    with transaction(db):
        known = done_with_key(db, key) or open_with_key(db, key)
        if known is None or known.state in ("failed", "cancelled"):
            continues = known.id if known else None
            return _insert(db, verb, plugin, key, settings, inputs, parent, continues)
        if parent is not None and known.state in ("paused", "needs_recovery"):
            db.execute("UPDATE jobs SET parent=? WHERE id=?", (parent, known.id))
        return get(db, known.id)


def continued(db: sqlite3.Connection, job: int) -> JobRow:
    """The job that goes on where `job` failed or was cancelled: the one there is, or a new one that is queued."""
    with transaction(db):
        row = get(db, job)
        while later := db.execute("SELECT * FROM jobs WHERE continues = ?", (row.id,)).fetchone():
            row = from_row(later)
        if row.state in ("failed", "cancelled"):
            row = _insert(db, row.verb, row.plugin, row.key, row.settings, row.inputs, row.parent, row.id)
    return row


def _insert(
    db: sqlite3.Connection, verb: str, plugin: str, key: str, settings: dict[str, Any], inputs: dict[str, Any],
    parent: int | None, continues: int | None,
) -> JobRow:  # fmt: skip
    number = db.execute("SELECT COALESCE(MAX(id), 0) + 1 FROM jobs").fetchone()[0]
    folder = "-".join(part for part in (f"{number:04d}", verb, plugin) if part)
    db.execute(
        "INSERT INTO jobs (id, verb, plugin, key, state, settings, inputs, folder, created, parent, continues)"
        " VALUES (?,?,?,?,'queued',?,?,?,?,?,?)",
        (number, verb, plugin, key, json.dumps(settings), json.dumps(inputs), folder, time.time(), parent, continues),
    )
    _tell(db, number, "queued")
    return get(db, number)


def get(db: sqlite3.Connection, job: int) -> JobRow:
    """Return job `job`; raises UsageError when there is none."""
    row = db.execute("SELECT * FROM jobs WHERE id = ?", (job,)).fetchone()
    if row is None:
        raise UsageError(f"there is no job {job} in this project", "See: endonym jobs ls")
    return from_row(row)


def listing(db: sqlite3.Connection) -> list[JobRow]:
    """All jobs, oldest first, with dead workers already noticed."""
    notice_dead(db)
    return [from_row(row) for row in db.execute("SELECT * FROM jobs ORDER BY id")]


def children(db: sqlite3.Connection, job: int) -> list[JobRow]:
    """Jobs that `job` has started, oldest first."""
    return [from_row(row) for row in db.execute("SELECT * FROM jobs WHERE parent = ? ORDER BY id", (job,))]


def done_with_key(db: sqlite3.Connection, key: str) -> JobRow | None:
    """The newest job with this key that succeeded and whose run folder is there; one that was deleted is done again."""
    found = db.execute("SELECT * FROM jobs WHERE key = ? AND state = 'succeeded' ORDER BY id DESC", (key,))
    return next((from_row(row) for row in found if (runs_of(db) / row["folder"]).is_dir()), None)


def open_with_key(db: sqlite3.Connection, key: str) -> JobRow | None:
    """The newest job with this key that has not succeeded, whether it waits, runs, is paused or ended; None when there is none."""
    row = db.execute(
        "SELECT * FROM jobs WHERE key = ? AND state != 'succeeded' ORDER BY id DESC LIMIT 1", (key,)
    ).fetchone()
    return from_row(row) if row else None


def newest_artifact(db: sqlite3.Connection, kind: str) -> int | None:
    """Job id of the newest artifact of `kind`."""
    there = artifacts(db, kind)
    return int(there[-1]["job"]) if there else None


def artifacts(db: sqlite3.Connection, kind: str | None = None) -> list[sqlite3.Row]:
    """Artifact rows (job, kind, hash, parents, created), oldest first; none whose run folder was deleted."""
    found = db.execute(
        "SELECT artifacts.*, jobs.folder FROM artifacts JOIN jobs ON jobs.id = artifacts.job WHERE ?1 IS NULL OR kind = ?1"
        " ORDER BY job", (kind,),
    )  # fmt: skip
    return [row for row in found if (runs_of(db) / row["folder"]).is_dir()]


def artifact_hash(db: sqlite3.Connection, job: int) -> str:
    """Hash of the artifact job `job` made."""
    return str(db.execute("SELECT hash FROM artifacts WHERE job = ?", (job,)).fetchone()["hash"])


def reserve(db: sqlite3.Connection, job: int, worker: str, known: Sequence[str] = ()) -> bool:
    """Write process `worker` down as the one that works on a queued job, or starts who does; False when another one that lives is.

    `known` may stand there already: the process that started this one.
    """
    with transaction(db):
        row = get(db, job)
        if row.state != "queued" or (row.worker not in ("", *known) and not _is_gone(row)):
            return False
        db.execute("UPDATE jobs SET worker=?, lease_until=? WHERE id=?", (worker, time.time() + LEASE_SECONDS, job))
        return True


def hand_over(db: sqlite3.Connection, job: int, worker: str, to: str) -> None:
    """Let process `to` (`""`: nobody) stand where `worker` had reserved a job that is still queued."""
    db.execute("UPDATE jobs SET worker=? WHERE id=? AND state='queued' AND worker=?", (to, job, worker))


def claim(db: sqlite3.Connection, job: int, worker: str, instead_of: str = "") -> JobRow:
    """Make `job` running under `worker`; raises JobError when it is not queued, or another process works on it."""
    notice_dead(db)
    now = time.time()
    with transaction(db):
        changed = db.execute(
            "UPDATE jobs SET state='running', worker=?, lease_until=?, started=COALESCE(started, ?), finished=NULL,"
            " attempt=attempt+1, error='' WHERE id=? AND state='queued' AND worker IN ('', ?, ?)",
            (worker, now + LEASE_SECONDS, now, job, worker, instead_of),
        ).rowcount
        row = get(db, job)
        if changed:
            _tell(db, job, "running", attempt=row.attempt)
    if not changed:
        why = "has another worker" if row.state == "queued" else f"is {row.state}, not queued"
        raise JobError(f"job {job} {why}", f"See: endonym jobs show {job}")
    return row


def requeue(db: sqlite3.Connection, job: int) -> None:
    """Put a job that is paused or needs recovery back in the queue; raises JobError when it is neither, nor queued."""
    notice_dead(db)
    with transaction(db):
        changed = db.execute(
            "UPDATE jobs SET state='queued', worker='', lease_until=NULL, finished=NULL, error='', lost=0, rung=0, asked=NULL,"
            " cancel_requested=0, pause_requested=0 WHERE id=? AND state IN ('paused', 'needs_recovery')",
            (job,),
        ).rowcount
        if changed:
            _tell(db, job, "queued")
    state = get(db, job).state
    if not changed and state != "queued":
        raise JobError(f"job {job} is {state}: there is nothing to resume", "See: endonym jobs ls")


def renew(db: sqlite3.Connection, job: int, steady: bool = False) -> str:
    """Extend the lease of a running job; return what the user asked it for: `cancel`, `pause` or nothing.

    Those of its workers that were lost count no more when the one it has is `steady`.
    """
    if steady:
        db.execute("UPDATE jobs SET lost=0 WHERE id=? AND lost>0", (job,))
    db.execute("UPDATE jobs SET lease_until=? WHERE id=? AND state='running'", (time.time() + LEASE_SECONDS, job))
    return asked_of(get(db, job))


def asked_of(row: JobRow) -> str:
    """What the user asked a job for: `cancel`, `pause` or nothing."""
    return "cancel" if row.cancel_requested else "pause" if row.pause_requested else ""


def finish(
    db: sqlite3.Connection,
    job: int,
    state: str,
    error: dict[str, Any],
    summary: dict[str, Any],
    made: dict[str, Any] | None = None,
) -> bool:
    """Let a running job end or stop in `state`, with the artifact it made (`kind`, `hash`, `parents`) if any.

    False when it does not run any more: then nothing is written.
    """
    with transaction(db):
        changed = db.execute(
            "UPDATE jobs SET state=?, finished=?, error=?, summary=?, lease_until=NULL, pause_requested=0"
            " WHERE id=? AND state='running'",
            (state, time.time(), json.dumps(error) if error else "", json.dumps(summary, ensure_ascii=False), job),
        ).rowcount
        if changed:
            if made:
                register_artifact(db, job, made["kind"], made["hash"], made["parents"])
            _tell(db, job, state, error=error, summary=summary)
    return bool(changed)


def set_needs(db: sqlite3.Connection, job: int, needs: dict[str, int]) -> None:
    """Write down what a job needs of the machine."""
    db.execute("UPDATE jobs SET needs=? WHERE id=?", (json.dumps(needs), job))


def climb(db: sqlite3.Connection, job: int, rung: int) -> bool:
    """Write down, with an event, what is about to be done to a job that does not end; False when another process did."""
    with transaction(db):
        changed = db.execute(
            "UPDATE jobs SET rung=? WHERE id=? AND state='running' AND cancel_requested=1 AND rung<?", (rung, job, rung)
        ).rowcount
        if changed:
            folder = runs_of(db) / get(db, job).folder
            events.append(db, folder, job, "ladder", {"rung": rung, "signal": ("SIGTERM", "SIGKILL")[rung - 1]})
    return bool(changed)


def restart(db: sqlite3.Connection, job: int) -> bool:
    """Put a job whose worker is ending, or was found dead, back in the queue; False when it was asked to stop or taken over."""
    with transaction(db):
        changed = db.execute(
            "UPDATE jobs SET state='queued', worker='', finished=NULL, lease_until=NULL, error=''"
            " WHERE id=? AND state IN ('running', 'needs_recovery') AND cancel_requested=0 AND pause_requested=0",
            (job,),
        ).rowcount
        if changed:
            _tell(db, job, "queued")
    return bool(changed)


def abandon(db: sqlite3.Connection, job: int, error: dict[str, Any]) -> None:
    """Let a job fail whose worker ended before it could claim it."""
    with transaction(db):
        changed = db.execute(
            "UPDATE jobs SET state='failed', finished=?, error=? WHERE id=? AND state='queued'",
            (time.time(), json.dumps(error), job),
        ).rowcount
        if changed:
            _tell(db, job, "failed", error=error)


def request_cancel(db: sqlite3.Connection, job: int) -> str:
    """Ask a job and those it started to end at their next safe point; returns its state. What does not run is cancelled at once."""
    with transaction(db):
        for row in _family(db, job):
            if row.state == "running":
                db.execute(
                    "UPDATE jobs SET cancel_requested=1, asked=COALESCE(asked, ?) WHERE id=?", (time.time(), row.id)
                )
            elif row.state not in FINAL:
                _stop(db, row, "cancelled")
    return get(db, job).state


def request_pause(db: sqlite3.Connection, job: int) -> str:
    """Ask a job and those it started to save and stop, to go on later; returns its state. What does not run is paused at once."""
    with transaction(db):
        for row in _family(db, job):
            if row.state == "running":
                db.execute("UPDATE jobs SET pause_requested=1 WHERE id=?", (row.id,))
            elif row.state in ("queued", "needs_recovery"):
                _stop(db, row, "paused")
    return get(db, job).state


def _family(db: sqlite3.Connection, job: int) -> list[JobRow]:
    """A job and all that it, or one it started, has started; raises UsageError when there is none."""
    get(db, job)
    query = f"{_FAMILY} SELECT jobs.* FROM jobs JOIN family ON jobs.id = family.id ORDER BY jobs.id"
    return [from_row(row) for row in db.execute(query, (job,))]


def _stop(db: sqlite3.Connection, row: JobRow, state: str) -> None:
    """Let a job that nobody works on stop."""
    db.execute(
        "UPDATE jobs SET state=?, finished=?, worker='', lease_until=NULL, error='' WHERE id=?",
        (state, time.time(), row.id),
    )
    _tell(db, row.id, state)


def register_artifact(db: sqlite3.Connection, job: int, kind: str, content_hash: str, parents: list[str]) -> None:
    """Record what a job made; parents are artifact hashes."""
    db.execute(
        "INSERT OR REPLACE INTO artifacts (job, kind, hash, parents, created) VALUES (?,?,?,?,?)",
        (job, kind, content_hash, json.dumps(parents), time.time()),
    )


def notice_dead(db: sqlite3.Connection) -> None:
    """Write down which workers are gone: a running job becomes `needs_recovery`, or what it was asked for; a queued one has nobody."""
    for found in db.execute("SELECT * FROM jobs WHERE state IN ('queued', 'running') AND worker != ''").fetchall():
        if not _is_gone(from_row(found)):
            continue
        with transaction(db):
            row = get(db, found["id"])
            if row.state != found["state"] or row.worker != found["worker"]:
                continue  # Somebody else was faster.
            db.execute("UPDATE jobs SET lost=lost+1, worker='', lease_until=NULL WHERE id=?", (row.id,))
            if row.state == "running" or row.lost >= MOST_LOST:
                _lost(db, row)


def _lost(db: sqlite3.Connection, row: JobRow) -> None:
    state = {"cancel": "cancelled", "pause": "paused"}.get(asked_of(row), "needs_recovery")
    often = f", {row.lost + 1} times in a row" if row.lost >= MOST_LOST else ""
    error = {
        "type": "JobError", "message": f"its worker stopped without a word{often}", "exit_code": 7,
        "hint": f"Go on from the last checkpoint with: endonym jobs resume {row.id}",
    } if state == "needs_recovery" else {}  # fmt: skip
    db.execute(
        "UPDATE jobs SET state=?, finished=?, error=?, pause_requested=0 WHERE id=?",
        (state, time.time(), json.dumps(error) if error else "", row.id),
    )
    _tell(db, row.id, state, error=error)


def _is_gone(row: JobRow) -> bool:
    """Whether the worker of a job is gone: known to be, or on another machine and its lease ran out."""
    alive = is_alive(row.worker)
    return alive is False or (alive is None and (row.lease_until or 0.0) < time.time())


def _tell(db: sqlite3.Connection, job: int, state: str, **more: Any) -> None:
    """The event of a change of state, inside its transaction."""
    folder = runs_of(db) / get(db, job).folder
    folder.mkdir(parents=True, exist_ok=True)
    events.append(db, folder, job, "state", {"state": state, **{k: v for k, v in more.items() if v}})
