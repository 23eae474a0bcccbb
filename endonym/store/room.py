"""A full disk pauses a job instead of ending it: a little space is held back to say so, and work goes on when there is room."""

from __future__ import annotations

import errno
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

RETRY_SECONDS = 2.0
RESERVE_BYTES = 1 << 20

T = TypeVar("T")


def is_full(error: BaseException) -> bool:
    """Whether an error says that the disk, or the user's share of it, is full.

    SQLite and safetensors (Rust) raise errors of their own, told apart by their words.
    """
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, sqlite3.OperationalError):
        return "disk is full" in str(error)
    return type(error).__name__ == "SafetensorError" and "os error 28" in str(error)


def is_busy(error: BaseException) -> bool:
    """Whether another process held the database for longer than `BUSY_SECONDS`, as one may that gets no time on a crowded machine."""
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def patiently(action: Callable[[], T], give_up: Callable[[], bool] = lambda: False) -> T:
    """Return what `action` returns; while the disk is full, try again every `RETRY_SECONDS` unless `give_up()`.

    While the database is busy, it is tried again in any case.
    """
    while True:
        try:
            return action()
        except Exception as error:
            if not is_busy(error) and (not is_full(error) or give_up()):
                raise
        time.sleep(RETRY_SECONDS)


def clear(runs: Path) -> int:
    """Delete what finished jobs left behind that nothing asks for any more: checkpoints and uncertified drafts; returns the bytes."""
    freed = 0
    for done in runs.glob("*/artifact.json"):
        for name in ("checkpoints", "uncertified"):
            folder = done.parent / name
            freed += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            shutil.rmtree(folder, ignore_errors=True)
    return freed


class Room:
    """Runs what writes much, and waits with it while the disk is full.

    `say(text)` tells the user; the reserve file is given back before, so that there is room for telling.
    """

    def __init__(self, folder: Path, say: Callable[[str], None], give_up: Callable[[], bool]):
        self.reserve = folder / "reserve"
        self.say = say
        self.give_up = give_up
        self._hold()

    def run(self, what: str, action: Callable[[], T]) -> T:
        """Return what `action` returns, sooner or later; `action` must leave nothing half-written. Raises when given up."""
        waited = False

        def wait_or_not() -> bool:
            nonlocal waited
            if not waited:
                waited = True
                free = shutil.disk_usage(self.reserve.parent).free
                self.reserve.unlink(missing_ok=True)
                if cleared := clear(self.reserve.parent.parent):
                    self.say(
                        f"the disk is full: {cleared / 1e6:,.1f} MB that finished jobs had left behind were deleted"
                    )
                self.say(
                    f"paused: the disk is full ({free / 1e6:,.0f} MB free), so {what} cannot be saved; "
                    "it goes on by itself when there is room"
                )
            return self.give_up()

        result = patiently(action, wait_or_not)
        if waited:
            self._hold()
            self.say(f"there is room again: {what} is saved")
        return result

    def release(self) -> None:
        """Give the reserve back."""
        self.reserve.unlink(missing_ok=True)

    def _hold(self) -> None:
        try:
            self.reserve.write_bytes(b"\0" * RESERVE_BYTES)
        except OSError:
            self.reserve.unlink(missing_ok=True)
