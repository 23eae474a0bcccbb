"""A running job as its stage sees it: inputs, output folder, progress, metrics, and the wish to stop."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from endonym.store import events
from endonym.store.room import patiently

if TYPE_CHECKING:
    from endonym.project import Project

TICK_SECONDS = 0.4


def _raise(error: BaseException) -> None:
    raise error


class Job:
    """Handed to `run(cfg, job)` by the worker. All methods are safe to call often."""

    def __init__(
        self,
        project: Project,
        id: int,
        verb: str,
        plugin: str,
        folder: Path,
        inputs: Mapping[str, Path | list[Path]],
        plugins: Mapping[str, tuple[ModuleType, Any]],
    ):
        self.project = project
        self.id = id
        self.verb = verb
        self.plugin = plugin
        self.folder = folder
        self.output = folder / "output"
        self.inputs = inputs
        self.plugins = plugins
        self.results: dict[str, Any] = {}
        self.stopped_early = False
        self.abort: Callable[[BaseException], object] = _raise
        """Ends the process as if its stage had raised the error, from a thread, when the stage itself hangs; set by the worker."""
        self._stop = threading.Event()
        self._last_tick = 0.0
        self._lock = threading.Lock()

    def event(self, kind: str, **data: Any) -> None:
        """Record anything that happened; waits while the disk is full."""
        with self._lock:
            patiently(lambda: events.append(self._db, self.folder, self.id, kind, data), self._stop.is_set)

    @cached_property
    def _db(self) -> sqlite3.Connection:
        """A connection of its own: a thread may record something in the midst of a transaction of the stage."""
        return self.project.connect()

    def log(self, text: str) -> None:
        """Add a line to `log.txt` and to the events."""
        with (self.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%H:%M:%S')} {text}\n")
        self.event("log", text=text)

    def tick(self, done: float, total: float, unit: str = "", **values: Any) -> None:
        """Report progress; kept at most every 0.4 seconds, the last tick always. A `total` of 0 is not known yet."""
        now = time.monotonic()
        if now - self._last_tick < TICK_SECONDS and (done < total or not total):
            return
        self._last_tick = now
        self.event("tick", done=done, total=total, unit=unit, **values)

    def metric(self, name: str, value: float, step: int = 0) -> None:
        """Add a point to a curve."""
        self.event("metric", name=name, value=float(value), step=int(step))

    def summary(self, **values: Any) -> None:
        """Set numbers that are shown when the job ends and kept with the artifact."""
        self.results.update(values)

    def stop(self) -> None:
        """Ask the stage to stop at its next safe point."""
        self._stop.set()

    def cancelled(self) -> bool:
        """Whether the user asked to pause or to end it; a stage that sees True saves what it has and returns."""
        if self._stop.is_set():
            self.stopped_early = True
        return self.stopped_early
