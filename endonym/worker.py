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
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from endonym.config import to_toml
from endonym.errors import EndonymError, JobError
from endonym.jobs.begin import start, take_over
from endonym.jobs.job import Job
from endonym.jobs.stage import Resolved, load_stage, resolve_stored
from endonym.jobs.turn import wait_for_turn, work_out
from endonym.project import Project
from endonym.store import events, tokens
from endonym.store import jobs as rows
from endonym.store.files import hash_folder, write_json
from endonym.store.process import identity, identity_of
from endonym.store.room import patiently

RENEW_SECONDS = 1.0
STEADY_SECONDS = 600.0
"""A worker that has lived for so long is not one of a row that were lost."""
FORCE_SECONDS = 1.0
"""A second signal within this time is the first one, heard again."""
_SEE_LOG = "The full trace is in log.txt of the run folder."


def guarded(arguments: list[str]) -> int:
    """Run `main` in a child process and, when the system kills that for want of memory, start the job anew if its stage can.

    Linux kills the largest process without a word; this one stays small and lives. Elsewhere memory errors are raised.
    """
    killed_before, guard, me, wish = out_of_memory_kills(), os.getpid(), identity(), _Wish()
    project, number = Project(arguments[0]), int(arguments[1])
    if not rows.reserve(project.db, number, me, [me, *arguments[2:]]):
        print(f"job {number} has a worker, or waits for none", file=sys.stderr)
        return JobError.exit_code
    project.db.close()  # SQLite must not be carried into a child
    work_out(project.path, number)
    project = Project(arguments[0])
    if not wait_for_turn(project, number, me, lambda: wish.asked):
        return 0
    if sys.platform != "linux":
        return main([*arguments[:2], me], wish=wish)
    project.db.close()
    child = os.fork()
    if child == 0:
        code = main([*arguments[:2], me], guard, wish)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    wish.hand_on(child)
    both = identity_of(child, guard)  # Killing one of the two frees nothing while the other works.
    tokens.pass_on(me, both)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    tokens.give_back(both)
    if code == 0:
        return 0
    project = Project(arguments[0])
    row = rows.get(project.db, number)
    if (
        row.state == "queued" and row.worker == identity()
    ):  # it never came to claiming its job, which would wait for ever
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


def main(arguments: list[str], guard: int = 0, wish: _Wish | None = None) -> int:
    """Run job `arguments[1]` of the project in `arguments[0]`; returns the exit code.

    `arguments[2]`, where it is given, is the identity of the process that reserved the job for this one.
    """
    project, number = Project(arguments[0]), int(arguments[1])
    wish = wish or _Wish()
    row = rows.claim(project.db, number, identity(guard), arguments[2] if len(arguments) > 2 else "")
    # The base may be another by now, or was asked for by this job alone.
    project = project.with_base(row.settings.get("base", ""))
    folder = project.runs / row.folder
    taken = take_over(project, row)
    (folder / "output").mkdir(parents=True, exist_ok=True)
    lease = _Lease(project, number, wish)
    started = time.monotonic()
    state, error, code = "succeeded", {}, 0
    job: Job | None = None
    made: dict[str, Any] | None = None

    def end(home: Project, state: str, error: dict[str, Any]) -> None:
        summary = {**(job.results if job else {}), "seconds": round(time.monotonic() - started, 2)}
        ended = patiently(lambda: rows.finish(home.db, number, state, error, summary, made))
        if ended and made:
            # Checkpoints exist to survive an interruption; a finished artifact does not need them.
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)

    def abort(caught: BaseException) -> None:
        home = Project(arguments[0])  # a thread needs a connection of its own
        if not _start_again(home, row, resolved, caught):
            end(home, "failed", _describe_error(caught))
        os._exit(getattr(caught, "exit_code", 1))

    try:
        stage = load_stage(row.verb)
        resolved = resolve_stored(stage, row.settings, project.path)
        inputs = project.folders(row.inputs)
        job = Job(project, number, row.verb, row.plugin, folder, inputs, resolved.plugins)
        job.abort = abort
        wish.tell(job)
        if taken:
            job.log(f"goes on from what job {row.continues} left: {', '.join(taken)}")
        _describe(folder, row)
        stage.module.run(resolved.config, job)
        if job.stopped_early:
            state = _stopped(project, number)
        else:
            made = _made(project, row, resolved.produces, folder, job.results)
    except KeyboardInterrupt:
        state, code = _stopped(project, number), JobError.exit_code
    except BaseException as caught:  # the whole point of this process is to report how its stage ended
        state, error, code = "failed", _describe_error(caught), getattr(caught, "exit_code", 1)
        print(traceback.format_exc(), file=sys.stderr)
        if job is not None and _start_again(project, row, resolved, caught):
            return 0
    finally:
        lease.stop()
    end(project, state, error)
    return code


def _stopped(project: Project, number: int) -> str:
    """The state of a job that stopped because it was asked to; a signal asks to pause."""
    return "cancelled" if rows.get(project.db, number).cancel_requested else "paused"


def _start_again(project: Project, row: rows.JobRow, resolved: Resolved, caught: BaseException) -> bool:
    """Start the job in a fresh process when its stage knows how to go on after this error (`recover` in its run.py)."""
    recover = getattr(resolved.stage.module, "recover", None)
    folder = project.runs / row.folder
    changed = recover(caught, folder, resolved.plugins) if recover else ""
    if not changed or not rows.restart(project.db, row.id):
        return False
    text = f"{_first_line(caught)}; starting again from the last checkpoint with {changed}"
    events.append(project.db, folder, row.id, "warning", {"text": text})
    start(project, rows.get(project.db, row.id))
    return True


def _first_line(caught: BaseException) -> str:
    lines = str(caught).strip().splitlines()
    return lines[0] if lines else type(caught).__name__


class _Wish:
    """Hears that the job should stop, by signal or through the lease, and tells it; a signal long after that stops it at once."""

    def __init__(self) -> None:
        self.asked = 0.0
        self._job: Job | None = None
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._on_signal)

    def hand_on(self, child: int) -> None:
        """From now on pass every signal on to process `child`; what came before, it knows of."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda signum, frame: os.kill(child, signum))
        if self.asked:  # It may have come between the two.
            os.kill(child, signal.SIGTERM)

    def tell(self, job: Job) -> None:
        """From now on `job` is told, and of what was asked before."""
        self._job = job
        if self.asked:
            job.stop()

    def stop(self) -> None:
        self.asked = self.asked or time.monotonic()
        if self._job is not None:
            self._job.stop()

    def _on_signal(self, signum: int, frame: object) -> None:
        # A signal to the whole process group comes twice: from its sender, and passed on by the guard.
        forced = self.asked and time.monotonic() - self.asked > FORCE_SECONDS
        self.stop()
        if forced:
            raise KeyboardInterrupt("forced by a second signal")


class _Lease:
    """A thread with its own connection that says every second that this worker lives, and hears what the user asks for."""

    def __init__(self, project: Project, number: int, wish: _Wish):
        self.project = project
        self.number = number
        self.wish = wish
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        db, since = self.project.connect(), time.monotonic()
        while not self._done.wait(RENEW_SECONDS):
            try:
                asked = rows.renew(db, self.number, steady=time.monotonic() - since > STEADY_SECONDS)
            except sqlite3.OperationalError:  # a full or a busy disk; being alive counts more than the lease
                continue
            if asked:
                self.wish.stop()
        db.close()


def _made(project: Project, row: rows.JobRow, kind: str, folder: Path, summary: dict[str, Any]) -> dict[str, Any]:
    """What the job made, as it is left in the run folder; it counts from when the job has succeeded."""
    flat = [i for name, ids in row.inputs.items() if name != "files" for i in (ids if isinstance(ids, list) else [ids])]
    parents = [rows.artifact_hash(project.db, i) for i in flat]
    content = hash_folder(folder / "output")
    inputs = {name: ids for name, ids in row.inputs.items() if name != "files"}
    record = {"job": row.id, "kind": kind, "hash": content, "parents": parents, "inputs": inputs, "summary": summary}
    write_json(folder / "artifact.json", record)
    return record


def _describe(folder: Path, row: rows.JobRow) -> None:
    """Leave the resolved settings and the environment in the run folder, so that it explains itself."""
    (folder / "config.toml").write_text(
        to_toml({"verb": row.verb, "plugin": row.plugin, **row.settings}), encoding="utf-8"
    )
    environment = {
        "python": sys.version,
        "platform": platform.platform(),
        "processor": platform.processor(),
        "packages": dict(sorted(_packages())),
    }
    (folder / "environment.json").write_text(json.dumps(environment, indent=1), encoding="utf-8")


def _packages() -> Iterator[tuple[str, str]]:
    """Name and version of what is installed. Every job asks: parsing the whole of each package's metadata takes twenty times as long."""
    for found in distributions():
        head = (found.read_text("METADATA") or found.read_text("PKG-INFO") or "").partition("\n\n")[0]
        said = dict(line.split(": ", 1) for line in head.splitlines() if line.startswith(("Name: ", "Version: ")))
        if said.keys() == {"Name", "Version"}:
            yield said["Name"], said["Version"]


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
