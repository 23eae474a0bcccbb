"""Send a run's events on to experiment trackers, each in a process of its own that may fail or hang without the run noticing.

The project's own database has every event first; a tracker reads them there. Run as a module, this file is that process.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym import plugins
from endonym.config import Layer, raise_problems, validate
from endonym.errors import ConfigError, did_you_mean
from endonym.project import Project
from endonym.store import events
from endonym.store import jobs as rows

if TYPE_CHECKING:
    from endonym.jobs.job import Job

POLL_SECONDS = 0.5
GRACE_SECONDS = 3.0
"""How long a finished run waits for trackers that have not caught up."""


@dataclass(frozen=True)
class Run:
    """What a tracker is told of the run it follows."""

    name: str
    """Name of the run folder."""
    project: str
    folder: Path
    """Where a tracker that keeps files keeps them: inside the project, a folder a tracker."""
    settings: dict[str, Any]
    """Settings of the job, flat: `lora.rank`."""


@contextmanager
def tracked(names: list[str], settings: Mapping[str, Any], patience: int, job: Job) -> Iterator[None]:
    """Let the trackers `names` follow `job` while the body runs; an unknown name or a wrong setting is an error before it.

    A tracker that does not take an event within `patience` seconds is ended by the system's alarm, whatever it is waiting for.
    """
    names, known = list(dict.fromkeys(names)), plugins.available("tracker", job.project.path)
    if strange := [name for name in settings if name not in known]:
        raise ConfigError(
            f"[train.trackers] has settings of '{strange[0]}', which is no tracker", did_you_mean(strange[0], known)
        )
    problems: list[str] = []
    for name in names:
        module = plugins.load("tracker", name, job.project.path)
        validate(module.Config, [Layer("train", settings.get(name, {}))], f"train.trackers.{name}", problems)
    raise_problems(problems)
    after = max((event.id for event in events.since(job.project.db, job.id)), default=0)
    running = {name: _start(name, settings.get(name, {}), patience, after, job) for name in names}
    watchers = [
        threading.Thread(target=_watch, args=(name, process, patience, job), daemon=True)
        for name, process in running.items()
    ]
    for watcher in watchers:
        watcher.start()
    try:
        yield
    finally:
        for process in running.values():
            assert process.stdin is not None
            process.stdin.close()
        until = time.monotonic() + GRACE_SECONDS
        for watcher in watchers:
            watcher.join(max(0.0, until - time.monotonic()))
        late = [name for name, process in running.items() if process.poll() is None]
        if late:
            job.log(f"{', '.join(late)} has not taken everything yet and is left to itself; the run does not wait")


def _start(name: str, settings: Mapping[str, Any], patience: int, after: int, job: Job) -> subprocess.Popen[bytes]:
    words = [str(job.project.path), str(job.id), name, str(patience), str(after), json.dumps(settings)]
    with (job.folder / f"tracker-{name}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "endonym.train.tracking", *words],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            # Asking for one tracker is not asking for what its authors count about its users.
            env={**os.environ, "DO_NOT_TRACK": "1"},
        )


def _watch(name: str, process: subprocess.Popen[bytes], patience: int, job: Job) -> None:
    """Say once that a tracker is gone, and why; nothing is said of one that ends well."""
    code = process.wait()
    if code == -signal.SIGALRM:
        why = f"did not answer for {patience} seconds"
    elif code:
        why = f"ended with an error; it is in tracker-{name}.log of the run folder"
    else:
        return
    job.event("warning", text=f"the tracker {name} {why}. The run goes on, and its events are in the project.")


def main(arguments: list[str]) -> None:
    """Follow a job with one tracker until the process that started this one closes its end of the standard input."""
    path, number, name, patience, after, settings = arguments
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(int(patience))
    project = Project(path)
    row = rows.get(project.db, int(number))
    module = plugins.load("tracker", name, project.path)
    folder = project.path / "tracking" / name
    folder.mkdir(parents=True, exist_ok=True)
    stages = {"": row.settings["stage"], **row.settings["plugins"]}
    flat = {".".join(filter(None, (p, key))): value for p, table in stages.items() for key, value in table.items()}
    run = Run(row.folder, project.name, folder, {"base": project.base, **flat})
    module.track(_stream(project, row.id, int(after), int(patience)), module.Config(**json.loads(settings)), run)


def _stream(project: Project, job: int, after: int, patience: int) -> Iterator[events.Event]:
    """The job's events as they come; each time one is asked for, the alarm is set anew."""
    while True:
        # Looked at before the events, so that none of those written before the end is missed.
        ended = bool(select.select([sys.stdin], [], [], POLL_SECONDS)[0])
        for event in events.since(project.db, job, after):
            signal.alarm(patience)
            after = event.id
            yield event
        signal.alarm(patience)
        if ended:
            return


if __name__ == "__main__":
    main(sys.argv[1:])
