"""Events of a job: one row each, in order, and the same line in the run folder's `events.jsonl`."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Event:
    """Something that happened in a job; `id` grows over the whole project."""

    id: int
    job: int
    time: float
    kind: str
    """`state`, `log`, `tick`, `metric`, `sample`, `warning`, `summary`, ..."""
    data: dict[str, Any]


def append(db: sqlite3.Connection, folder: Path, job: int, kind: str, data: dict[str, Any]) -> None:
    """Add one event. The file is written first: the database can be rebuilt from it."""
    now = time.time()
    with (folder / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"time": now, "kind": kind, "data": data}, ensure_ascii=False) + "\n")
    db.execute(
        "INSERT INTO events (job, time, kind, data) VALUES (?,?,?,?)",
        (job, now, kind, json.dumps(data, ensure_ascii=False)),
    )
    if kind == "metric":
        db.execute(
            "INSERT INTO metrics (job, name, step, value) VALUES (?,?,?,?)",
            (job, data["name"], data["step"], data["value"]),
        )


def since(db: sqlite3.Connection, job: int, after: int = 0) -> Iterator[Event]:
    """Events of `job` with an id above `after`, oldest first."""
    for row in db.execute("SELECT * FROM events WHERE job = ? AND id > ? ORDER BY id", (job, after)).fetchall():
        yield Event(row["id"], row["job"], row["time"], row["kind"], json.loads(row["data"]))


def curve(db: sqlite3.Connection, job: int, name: str) -> list[tuple[int, float]]:
    """The points `(step, value)` of one metric."""
    rows = db.execute("SELECT step, value FROM metrics WHERE job = ? AND name = ? ORDER BY step, rowid", (job, name))
    return [(row["step"], row["value"]) for row in rows]
