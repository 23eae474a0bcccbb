"""What this machine has to give, shared by the jobs of all projects: a worker takes what its job needs before it begins.

One SQLite file in the cache folder holds who has taken what and who waits. What a process took is free when it is gone.
"""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from endonym.store.db import BUSY_SECONDS, transaction
from endonym.store.files import cache_folder
from endonym.store.process import is_alive

PATIENCE_SECONDS = 300.0
"""How long a job that must wait lets later ones pass that need less; from then on what it needs is kept for it."""
SMALL_BYTES = 500_000_000

_SCHEMA = """CREATE TABLE IF NOT EXISTS takers (
    id INTEGER PRIMARY KEY AUTOINCREMENT, worker TEXT NOT NULL UNIQUE, what TEXT NOT NULL, priority INTEGER NOT NULL,
    memory INTEGER NOT NULL, gpus INTEGER NOT NULL, disk INTEGER NOT NULL, device INTEGER NOT NULL, asked REAL NOT NULL,
    held INTEGER NOT NULL DEFAULT 0)"""


@dataclass(frozen=True)
class Needs:
    """What a job takes of the machine while it runs."""

    memory_bytes: int = SMALL_BYTES
    """Main memory."""
    disk_bytes: int = 0
    """Room on the disk of the project."""
    gpus: int = 0


def machine() -> Needs:
    """What there is: memory (`ENDONYM_MEMORY_GB`, else that of the machine or of the container this runs in) and GPUs."""
    own = os.environ.get("ENDONYM_MEMORY_GB")
    memory = int(float(own) * 1e9) if own else min(_memory())
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = len(list(Path("/dev").glob("nvidia[0-9]*")))
    return Needs(memory, 0, found if shown is None else min(found, len([d for d in shown.split(",") if d.strip()])))


def ask(worker: str, what: str, needs: Needs, folder: Path, priority: int = 0) -> str:
    """Take what `worker` needs, for good, or say what it waits for; to be asked again until the answer is `""`.

    `what` names the job to others, `folder` lies on the disk it writes to. Those of higher priority come first, then those that
    asked first; a later one may pass as long as the earlier one has waited less than `PATIENCE_SECONDS`. A need above what the
    machine has at all is granted when nobody holds any of it.
    """
    with _open() as db, transaction(db):
        db.execute(
            "INSERT OR IGNORE INTO takers (worker, what, priority, memory, gpus, disk, device, asked) VALUES (?,?,?,?,?,?,?,?)",
            (
                worker,
                what,
                priority,
                needs.memory_bytes,
                needs.gpus,
                needs.disk_bytes,
                folder.stat().st_dev,
                time.time(),
            ),
        )
        rows = _living(db)
        mine = next(row for row in rows if row["worker"] == worker)
        answer = "" if mine["held"] else _lacking(rows, mine, shutil.disk_usage(folder).free)
        if not answer:
            db.execute("UPDATE takers SET held = 1 WHERE worker = ?", (worker,))
        return answer


def pass_on(worker: str, to: str) -> None:
    """What `worker` took is held by process `to` from now on."""
    with _open() as db:
        db.execute("UPDATE OR REPLACE takers SET worker = ? WHERE worker = ?", (to, worker))


def give_back(worker: str) -> None:
    """What `worker` took, or waited for, is free."""
    with _open() as db:
        db.execute("DELETE FROM takers WHERE worker = ?", (worker,))


def _lacking(rows: list[sqlite3.Row], mine: sqlite3.Row, free_disk: int) -> str:
    """What `mine` has to wait for, in words; `""` for nothing."""
    there = machine()
    free = {"memory": there.memory_bytes, "gpus": there.gpus, "disk": free_disk}
    near = [row for row in rows if row["device"] == mine["device"]]
    held = {name: [r[name] for r in (near if name == "disk" else rows) if r["held"] and r[name]] for name in free}
    free = {name: size - sum(held[name]) for name, size in free.items()}
    kept: dict[str, str] = {}
    for row in sorted((r for r in rows if not r["held"]), key=lambda r: (-r["priority"], r["id"])):
        own = [n for n in free if n != "disk" or row["device"] == mine["device"]]  # another disk is another matter
        lacks = [n for n in own if row[n] and (n in kept or (row[n] > free[n] and held[n]))]
        if row["id"] == mine["id"]:
            return _words(lacks, row, free, kept, there)
        if not lacks:  # it takes its share the next time it asks
            for name in own:
                free[name] -= row[name]
                held[name] += [row[name]] if row[name] else []
        elif time.time() - row["asked"] > PATIENCE_SECONDS:
            kept |= {name: row["what"] for name in lacks if name not in kept}
    raise AssertionError("a worker that asks is among those that wait")


def _words(lacks: list[str], row: sqlite3.Row, free: dict[str, int], kept: dict[str, str], there: Needs) -> str:
    told = []
    for name in lacks:
        if name == "gpus":
            told.append(f"{row[name]} GPUs of {there.gpus}, {max(free[name], 0)} are free")
        else:
            where = "memory" if name == "memory" else "room on the disk"
            told.append(f"{row[name] / 1e9:.1f} GB of {where}, {max(free[name], 0) / 1e9:.1f} GB are free")
        if name in kept:
            told[-1] += f" and kept for {kept[name]}, which waits longer"
    return "; ".join(told)


def _living(db: sqlite3.Connection) -> list[sqlite3.Row]:
    """Rows of the processes that live; the others are forgotten."""
    rows = db.execute("SELECT * FROM takers ORDER BY id").fetchall()
    gone = [row["id"] for row in rows if not is_alive(row["worker"])]
    db.executemany("DELETE FROM takers WHERE id = ?", [(number,) for number in gone])
    return [row for row in rows if row["id"] not in gone]


@contextmanager
def _open() -> Iterator[sqlite3.Connection]:
    # A home folder may be shared by machines: each has a file of its own.
    path = cache_folder() / f"machine-{platform.node() or 'this'}.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    db.row_factory = sqlite3.Row
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(_SCHEMA)
        yield db
    finally:
        db.close()


def _memory() -> Iterator[int]:
    """The memory of the machine, and the limits of the container, as far as they are told."""
    try:
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        yield 8_000_000_000
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            yield int(Path(path).read_text(encoding="ascii"))
        except (OSError, ValueError):  # "max": no limit
            continue
