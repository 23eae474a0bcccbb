"""One row of the jobs table, as the rest of the program sees it."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any


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
    """When it ended or stopped; None while it waits or runs."""
    attempt: int
    worker: str
    """Identity of the process that works on it or waits to; of a job whose worker ended it itself, still that one; else `""`."""
    lease_until: float | None
    cancel_requested: bool
    pause_requested: bool
    asked: float | None
    """When it was first asked to end."""
    rung: int
    """What was done since, where asking was not enough: 1 a signal that it can catch, 2 one that it cannot."""
    lost: int
    """How often its worker was found dead, one after the other."""
    parent: int | None
    """The job that started it, which waits for it."""
    continues: int | None
    """The job that failed or was cancelled whose checkpoints it goes on from."""
    needs: dict[str, int]
    """`memory_bytes`, `disk_bytes` and `gpus` while it runs; empty as long as nobody has worked it out."""
    error: dict[str, Any]
    summary: dict[str, Any]

    @property
    def name(self) -> str:
        """`train lora`, or just the verb."""
        return f"{self.verb} {self.plugin}".strip()


def from_row(row: sqlite3.Row) -> JobRow:
    """A row of the database with its JSON read."""
    values = dict(row)
    del values["logged"]  # how far events.jsonl is known; of use to store/events.py alone
    for name in ("settings", "inputs", "summary", "needs"):
        values[name] = json.loads(values[name])
    values["error"] = json.loads(values["error"]) if values["error"] else {}
    for name in ("cancel_requested", "pause_requested"):
        values[name] = bool(values[name])
    return JobRow(**values)
