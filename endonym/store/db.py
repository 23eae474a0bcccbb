"""The project's SQLite database: opening, migrating, and short transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from endonym.errors import JobError
from endonym.store.migrations import STEPS

BUSY_SECONDS = 20


def connect(path: Path) -> sqlite3.Connection:
    """Open (and, the first time, create) the database at `path` in WAL mode, migrated to the newest schema."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    # A network mount may refuse WAL silently; without it, only full synchronisation keeps a power cut harmless.
    connection.execute(f"PRAGMA synchronous = {'NORMAL' if mode == 'wal' else 'FULL'}")
    # A step may build a table anew: its rows must not be missed while it is not there. The pragma does nothing inside a transaction.
    connection.execute("PRAGMA foreign_keys = OFF")
    _migrate(connection, path)
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def runs_of(connection: sqlite3.Connection) -> Path:
    """The folder with the run folders of the project whose database this is."""
    return Path(connection.execute("PRAGMA database_list").fetchone()["file"]).parent.parent / "runs"


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Run the body in one immediate transaction, so that read-then-write is safe between processes."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors, such as a full disk.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(STEPS):
        raise JobError(
            f"{path} was written by a newer Endonym (schema {version}, this one knows {len(STEPS)})",
            "Update Endonym, or delete the file: it is rebuilt from the run folders.",
        )
    if version == len(STEPS):
        return
    with transaction(connection):
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        for number, script in enumerate(STEPS[version:], version + 1):
            for statement in _statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")


def _statements(script: str) -> Iterator[str]:
    """Split a script at complete statements; `executescript` would end the transaction we are in."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if statement.strip() and sqlite3.complete_statement(statement):
            yield statement
            statement = ""
