"""Events of a job: one row each, in order, and the same line in the run folder's `events.jsonl`."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from endonym.store.db import transaction


@dataclass(frozen=True)
class Event:
    """Something that happened in a job; `id` grows over the whole project."""

    id: int
    job: int
    time: float
    kind: str
    """`state`, `log`, `tick`, `metric`, `sample`, `warning`, `summary`, ..."""
    data: dict[str, Any]

    @classmethod
    def from_row(cls, row: sqlite3.Row) -> Event:
        """The event in a row of the table."""
        return cls(row["id"], row["job"], row["time"], row["kind"], json.loads(row["data"]))


def append(db: sqlite3.Connection, folder: Path, job: int, kind: str, data: dict[str, Any]) -> None:
    """Add one event to the file and to the database, or to neither; inside a transaction of the caller, with what that does.

    The file is written first. What it has beyond that which the database knows of was never committed, and is taken back.
    """
    with contextlib.nullcontext() if db.in_transaction else transaction(db):
        now = time.time()
        line = json.dumps({"time": now, "kind": kind, "data": data}, ensure_ascii=False) + "\n"
        known = db.execute("SELECT logged FROM jobs WHERE id = ?", (job,)).fetchone()["logged"]
        with (folder / "events.jsonl").open("ab") as file:
            if known is not None and file.tell() > known:
                file.truncate(known)
            file.write(line.encode())
            file.flush()
            end = file.tell()
        db.execute(
            "INSERT INTO events (job, time, kind, data) VALUES (?,?,?,?)",
            (job, now, kind, json.dumps(data, ensure_ascii=False)),
        )
        db.execute("UPDATE jobs SET logged = ? WHERE id = ?", (end, job))
        if kind == "metric":
            db.execute(
                "INSERT INTO metrics (job, name, step, value) VALUES (?,?,?,?)",
                (job, data["name"], data["step"], data["value"]),
            )


def since(db: sqlite3.Connection, job: int, after: int = 0) -> Iterator[Event]:
    """Events of `job` with an id above `after`, oldest first."""
    for row in db.execute("SELECT * FROM events WHERE job = ? AND id > ? ORDER BY id", (job, after)).fetchall():
        yield Event.from_row(row)


def family_since(db: sqlite3.Connection, job: int, after: int = 0) -> Iterator[Event]:
    """Events of `job` and of the jobs that it started, with an id above `after`, oldest first."""
    query = (
        "SELECT events.* FROM events JOIN jobs ON jobs.id = events.job"
        " WHERE (jobs.id = ? OR jobs.parent = ?) AND events.id > ? ORDER BY events.id"
    )
    for row in db.execute(query, (job, job, after)).fetchall():
        yield Event.from_row(row)


def last(db: sqlite3.Connection, job: int, kind: str) -> Event | None:
    """The newest event of a kind, if any."""
    row = db.execute("SELECT * FROM events WHERE job = ? AND kind = ? ORDER BY id DESC LIMIT 1", (job, kind)).fetchone()
    return Event.from_row(row) if row else None


def measured(db: sqlite3.Connection, job: int) -> dict[str, int]:
    """The metrics of a job by name, with the number of points of each curve."""
    rows = db.execute("SELECT name, COUNT(DISTINCT step) AS points FROM metrics WHERE job = ? GROUP BY name", (job,))
    return {row["name"]: row["points"] for row in rows}


def curve(db: sqlite3.Connection, job: int, name: str) -> list[tuple[int, float]]:
    """The points `(step, value)` of one metric; of a step that was taken again after an interruption, the last."""
    # SQLite takes the other columns of an aggregate with MAX from the row that has it.
    rows = db.execute(
        "SELECT step, value, MAX(rowid) FROM metrics WHERE job = ? AND name = ? GROUP BY step ORDER BY step",
        (job, name),
    )
    return [(row["step"], row["value"]) for row in rows]
