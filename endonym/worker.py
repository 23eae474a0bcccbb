"""The process that runs one job: claim it, keep its lease, run its stage, register what it made; start anew what can recover."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import sqlite3
import sys
import threading
import time
import traceback
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from endonym.config import to_toml
from endonym.errors import EndonymError, JobError
from endonym.jobs.job import Job
from endonym.jobs.stage import Resolved, load_stage, resolve_stored
from endonym.launch.process import launch
from endonym.project import Project
from endonym.store import events
from endonym.store import jobs as rows
from endonym.store.db import connect
from endonym.store.files import hash_folder

RENEW_SECONDS = 1.0
_SEE_LOG = "The full trace is in log.txt of the run folder."


def guarded(arguments: list[str]) -> int:
    """Run `main` in a child process and, when the system kills that for want of memory, start the job anew if its stage can.

    Linux kills the largest process without a word; this one stays small and lives. Elsewhere memory errors are raised.
    """
    if sys.platform != "linux":
        return main(arguments)
    killed_before, guard = out_of_memory_kills(), os.getpid()
    child = os.fork()
    if child == 0:
        code = main(arguments, guard)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda signum, frame: os.kill(child, signum))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 0:
        return 0
    project, number = Project(arguments[0]), int(arguments[1])
    row = rows.get(project.db, number)
    if row.state == "queued":  # it never came to claiming its job, which would wait for ever
        rows.abandon(project.db, number, _describe_error(JobError("its worker could not start", _SEE_LOG)))
    if code != -signal.SIGKILL or out_of_memory_kills() == killed_before:
        return abs(code)
    resolved = resolve_stored(load_stage(row.verb), row.settings, project.path)
    again = _start_again(project, row, resolved, MemoryError("the system ended the process: out of memory"))
    return 0 if again else abs(code)


def out_of_memory_kills() -> int:
    """How many processes this machine's kernel has killed for want of memory since it started."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def main(arguments: list[str], guard: int = 0) -> int:
    """Run job `arguments[1]` of the project in `arguments[0]`; returns the exit code."""
    project, number = Project(arguments[0]), int(arguments[1])
    row = rows.claim(project.db, number, rows.identity(guard))
    folder = project.runs / row.folder
    (folder / "output").mkdir(parents=True, exist_ok=True)
    events.append(project.db, folder, number, "state", {"state": "running", "attempt": row.attempt})
    lease = _Lease(project, number)
    started = time.monotonic()
    state, error, code = "succeeded", {}, 0
    job: Job | None = None

    def end(home: Project, state: str, error: dict[str, Any]) -> None:
        summary = {**(job.results if job else {}), "seconds": round(time.monotonic() - started, 2)}
        events.append(home.db, folder, number, "state", {"state": state, "error": error, "summary": summary})
        rows.finish(home.db, number, state, error, summary)

    def abort(caught: BaseException) -> None:
        home = Project(arguments[0])  # a thread needs a connection of its own
        if not _start_again(home, row, resolved, caught):
            end(home, "failed", _describe_error(caught))
        os._exit(getattr(caught, "exit_code", 1))

    try:
        stage = load_stage(row.verb)
        resolved = resolve_stored(stage, row.settings, project.path)
        inputs: dict[str, Any] = {
            name: [project.output(i) for i in ids] if isinstance(ids, list) else project.output(ids)
            for name, ids in row.inputs.items()
            if name != "files"
        }
        job = Job(project, number, row.verb, row.plugin, folder, inputs, resolved.plugins)
        job.abort = abort
        lease.start(job)
        _describe(folder, row)
        stage.module.run(resolved.config, job)
        if job.stopped_early:
            state = "cancelled"
        else:
            _register(project, row, resolved.produces, folder, job.results)
    except BaseException as caught:  # the whole point of this process is to report how its stage ended
        state, error, code = "failed", _describe_error(caught), getattr(caught, "exit_code", 1)
        print(traceback.format_exc(), file=sys.stderr)
        if job is not None and _start_again(project, row, resolved, caught):
            return 0
    finally:
        lease.stop()
    end(project, state, error)
    return code


def _start_again(project: Project, row: rows.JobRow, resolved: Resolved, caught: BaseException) -> bool:
    """Start the job in a fresh process when its stage knows how to go on after this error (`recover` in its run.py)."""
    recover = getattr(resolved.stage.module, "recover", None)
    folder = project.runs / row.folder
    changed = recover(caught, folder, resolved.plugins) if recover else ""
    if not changed or not rows.restart(project.db, row.id):
        return False
    text = f"{_first_line(caught)}; starting again from the last checkpoint with {changed}"
    events.append(project.db, folder, row.id, "warning", {"text": text})
    launch(project.path, row.id, folder)
    return True


def _first_line(caught: BaseException) -> str:
    lines = str(caught).strip().splitlines()
    return lines[0] if lines else type(caught).__name__


class _Lease:
    """A thread with its own connection that says every second that this worker lives, and hears cancellation."""

    def __init__(self, project: Project, number: int):
        self.path = project.path / ".endonym" / "endonym.db"
        self.number = number
        self.job: Job | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def start(self, job: Job) -> None:
        self.job = job
        asked = 0

        def on_signal(signum: int, frame: object) -> None:
            nonlocal asked
            asked += 1
            job.stop()
            if asked > 1:
                raise KeyboardInterrupt("forced by a second signal")

        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, on_signal)

    def stop(self) -> None:
        self._done.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        db = connect(self.path)
        while not self._done.wait(RENEW_SECONDS):
            try:
                asked = rows.renew(db, self.number)
            except sqlite3.OperationalError:  # a full or a busy disk; being alive counts more than the lease
                continue
            if asked and self.job is not None:
                self.job.stop()
        db.close()


def _register(project: Project, row: rows.JobRow, kind: str, folder: Path, summary: dict[str, Any]) -> None:
    flat = [i for name, ids in row.inputs.items() if name != "files" for i in (ids if isinstance(ids, list) else [ids])]
    parents = [rows.artifact_hash(project.db, i) for i in flat]
    content = hash_folder(folder / "output")
    inputs = {name: ids for name, ids in row.inputs.items() if name != "files"}
    record = {"job": row.id, "kind": kind, "hash": content, "parents": parents, "inputs": inputs, "summary": summary}
    (folder / "artifact.json").write_text(json.dumps(record, ensure_ascii=False, indent=1), encoding="utf-8")
    rows.register_artifact(project.db, row.id, kind, content, parents)
    # Checkpoints exist to survive an interruption; a finished artifact does not need them.
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def _describe(folder: Path, row: rows.JobRow) -> None:
    """Leave the resolved settings and the environment in the run folder, so that it explains itself."""
    (folder / "config.toml").write_text(
        to_toml({"verb": row.verb, "plugin": row.plugin, **row.settings}), encoding="utf-8"
    )
    packages = {d.metadata["Name"]: d.version for d in distributions() if d.metadata["Name"]}
    environment = {
        "python": sys.version,
        "platform": platform.platform(),
        "processor": platform.processor(),
        "packages": dict(sorted(packages.items())),
    }
    (folder / "environment.json").write_text(json.dumps(environment, indent=1), encoding="utf-8")


def _describe_error(caught: BaseException) -> dict[str, Any]:
    if isinstance(caught, EndonymError):
        return {
            "type": type(caught).__name__,
            "message": caught.message,
            "hint": caught.hint,
            "exit_code": caught.exit_code,
        }
    if isinstance(caught, MemoryError):
        wrapped: EndonymError = JobError("out of memory", "Use a smaller --batch-tokens, or close other programs.")
    elif isinstance(caught, OSError) and caught.errno == 28:
        wrapped = JobError("the disk is full", "Free some space and resume the job.")
    else:
        wrapped = JobError(f"{type(caught).__name__}: {caught}", _SEE_LOG)
    return {
        "type": type(caught).__name__,
        "message": wrapped.message,
        "hint": wrapped.hint,
        "exit_code": wrapped.exit_code,
    }


if __name__ == "__main__":
    sys.exit(guarded(sys.argv[1:]))
