"""Wait until the machine has what a job needs."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from endonym.jobs.stage import load_stage, resolve_stored
from endonym.project import Project
from endonym.store import events, tokens
from endonym.store import jobs as rows
from endonym.store.tokens import Needs

if TYPE_CHECKING:
    from pathlib import Path

POLL_SECONDS = 0.5
WORK_OUT_SECONDS = 120.0


def wait_for_turn(project: Project, job: int, worker: str, asked: Callable[[], object]) -> bool:
    """Take what the job needs of the machine; False when it is not this worker's any more. Pauses the job when `asked()` to.

    The lease of a worker that waits is renewed as that of one that works.
    """
    row, said = rows.get(project.db, job), ""
    needs = Needs(**row.needs)
    priority = int(row.parent is not None)  # what others wait for comes first
    while True:
        if asked():
            rows.request_pause(project.db, job)
        if not rows.reserve(project.db, job, worker, [worker]):
            tokens.give_back(worker)
            return False
        lacking = tokens.ask(worker, f"job {job} ({row.name}) of {project.name}", needs, project.path, priority)
        if not lacking:
            return True
        if not said:
            said = lacking
            events.append(project.db, project.runs / row.folder, job, "waiting", {"text": lacking, **asdict(needs)})
        time.sleep(POLL_SECONDS)


def work_out(path: Path | str, job: int) -> None:
    """Write down what a job needs, by its stage's `needs`; a stage without, or one that cannot say, gets the little most need.

    In a process of its own: the one that waits stays small, whatever the stage loads to find out.
    """
    project = Project(path)
    row = rows.get(project.db, job)
    project.db.close()  # SQLite must not be carried into a child
    if row.needs:
        return
    told = _told(project.path, row) if hasattr(os, "fork") else ""
    project = Project(path)
    rows.set_needs(project.db, job, json.loads(told) if told else asdict(Needs()))
    project.db.close()


def _told(path: Path, row: rows.JobRow) -> str:
    try:
        if not hasattr(load_stage(row.verb).module, "needs"):
            return ""
    except Exception:  # the worker will meet with it, and tell
        return ""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, json.dumps(asdict(_needs(path, row))).encode())
        except Exception:  # as above
            print(traceback.format_exc(), file=sys.stderr, flush=True)
        finally:
            os._exit(0)
    os.close(writer)
    in_time = select.select([reader], [], [], WORK_OUT_SECONDS)[0]
    if not in_time:
        os.kill(child, signal.SIGKILL)
    told = os.read(reader, 1000).decode()
    os.close(reader)
    os.waitpid(child, 0)
    return told


def _needs(path: Path, row: rows.JobRow) -> Needs:
    project = Project(path).with_base(row.settings.get("base", ""))
    resolved = resolve_stored(load_stage(row.verb), row.settings, project.path)
    found: Needs = resolved.stage.module.needs(resolved, project.folders(row.inputs), project)
    return found
