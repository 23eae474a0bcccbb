"""Look after the jobs of all projects while the studio runs; they go on by themselves, so nothing depends on it.

Processes aside that nobody asked for a while are ended too: a loaded model takes memory that training could use.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterable

from endonym.errors import EndonymError
from endonym.jobs.tend import tend
from endonym.project import STATE_FOLDER
from endonym.web.aside.client import Aside
from endonym.web.home import Home

EVERY_SECONDS = 2.0
IDLE_SECONDS = 600.0
LOG = logging.getLogger("endonym.web")


class Tending:
    """A thread that tends every project that has jobs."""

    def __init__(self, home: Home, asides: Iterable[Aside] = ()):
        self._home = home
        self._asides = tuple(asides)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tending", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join(timeout=5)

    def once(self) -> None:
        """Tend every project; what is wrong with one does not keep it from the others."""
        for aside in self._asides:
            if not aside.busy and time.monotonic() - aside.used > IDLE_SECONDS:
                aside.close()
        for name in self._home.names():
            if not (self._home.path / name / STATE_FOLDER / "endonym.db").is_file():
                continue
            try:
                with self._home.opened(name) as project:
                    tend(project)
            except (EndonymError, OSError, sqlite3.Error) as error:
                LOG.warning("%s: %s", name, error)

    def _run(self) -> None:
        while not self._done.wait(EVERY_SECONDS):
            try:
                self.once()
            except OSError as error:  # the folder itself cannot be read just now
                LOG.warning("%s", error)
