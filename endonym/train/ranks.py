"""The processes that train one network together, one a device: the job's worker is the first, starts the others, and outlives none."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from endonym.data.dataset import Dataset
from endonym.errors import ConfigError, EndonymError, JobError
from endonym.jobs.job import Job
from endonym.jobs.stage import load_stage, resolve_stored
from endonym.models.load import device, number_format
from endonym.project import Project
from endonym.store import jobs as rows
from endonym.store.files import write_json
from endonym.train import recovery
from endonym.train.settings import FitConfig
from endonym.train.sharded import Several, World, among, count
from endonym.worker import out_of_memory_kills

LOOK_SECONDS = 0.2
GRACE_SECONDS = 10.0
"""How long the first process has to notice by itself that another one is gone; then its job is ended from outside."""


@contextmanager
def together(module: ModuleType, cfg: FitConfig, job: Job) -> Iterator[None]:
    """Inside the block this process is the first of the devices of `cfg`; the others run the recipe `module` as well.

    Raises ConfigError for a recipe or a setting that several devices cannot share, JobError when one of them ends.
    """
    # A recipe with a loop of its own need not have the settings of this one.
    number = count(getattr(cfg, "devices", 1))
    if number == 1:
        yield
        return
    if not getattr(module, "SHARDED", False):
        raise ConfigError(f"the recipe '{job.plugin}' trains on one device", "Leave --devices out.")
    if cfg.compiled:
        raise ConfigError("--compiled works on one device only", "Leave out --compiled or --devices.")
    folder = Path(tempfile.mkdtemp(prefix="endonym-"))
    others: list[_Other] = []
    try:
        threads = max(1, torch.get_num_threads() // number)
        torch.set_num_threads(threads)
        _describe(folder, cfg, job)
        others += [_Other(rank, number, folder, job, threads) for rank in range(1, number)]
        with _Watch(others, job) as watch, among(_met(0, number, folder, watch)):
            job.log(f"{number} {'GPUs' if device().type == 'cuda' else 'processes on the CPU'} train together")
            try:
                yield
            except Exception as error:
                why = watch.explained(error)
                if why is error:
                    raise
                raise why from error
    finally:
        for other in others:
            other.end()
        shutil.rmtree(folder, ignore_errors=True)


def _met(rank: int, number: int, folder: Path, watch: _Watch | None = None) -> World:
    """This process as one of several, connected to the others once all of them have come."""
    own = Several(rank, number, folder)
    while not own.complete():
        time.sleep(LOOK_SECONDS)
        if watch is not None and (error := watch.error()):
            raise error
    own.join()
    return own


def _describe(folder: Path, cfg: FitConfig, job: Job) -> None:
    """Leave what the others need to know; a number format that is measured must be measured once."""
    kind = str(number_format(cfg.dtype, device())).removeprefix("torch.")
    inputs = {
        name: [str(p) for p in path] if isinstance(path, list) else str(path) for name, path in job.inputs.items()
    }
    about = {
        "project": str(job.project.path),
        "job": job.id,
        "folder": str(job.folder),
        "inputs": inputs,
        "dtype": kind,
    }
    write_json(folder / "about.json", about)


class _Other:
    """Another process, of device `rank`. It has a folder of its own for what it would write, which nobody reads."""

    def __init__(self, rank: int, number: int, folder: Path, job: Job, threads: int):
        self.rank = rank
        self.folder = folder / str(rank)
        (self.folder / "output").mkdir(parents=True)
        with (job.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "endonym.train.ranks", str(folder), str(rank), str(number), str(os.getpid())],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            )  # fmt: skip

    def error(self) -> Exception | None:
        """Why it has ended, None while it runs or after it came to its end."""
        code = self.process.poll()
        if not code:
            return None
        told = self.folder / "error.json"
        about = json.loads(told.read_text(encoding="utf-8")) if told.is_file() else {}
        if about.get("memory"):
            return RuntimeError(f"device {self.rank} is out of memory: {about['text']}")
        how = about.get("text") or (f"signal {-code}" if code < 0 else f"exit code {code}")
        return JobError(
            f"the process of device {self.rank} has ended: {how}",
            "Resume the job: it goes on from the last checkpoint. The full trace is in log.txt of the run folder.",
        )

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class _Watch:
    """A thread that sees when another process ends, and ends the job if the first one then hangs in waiting for it."""

    def __init__(self, others: Sequence[_Other], job: Job):
        self._others, self._job = others, job
        # A kill is counted before its process is gone; one long before the end was of another program.
        self._kills = deque([out_of_memory_kills()], maxlen=round(GRACE_SECONDS / LOOK_SECONDS))
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._done.set()
        self._thread.join()

    def error(self) -> Exception | None:
        """Why one of the others has ended; the one that names a cause before those that lost it."""
        found = [error for other in self._others if (error := other.error())]
        killed = any(other.process.poll() == -signal.SIGKILL for other in self._others)
        if killed and out_of_memory_kills() > self._kills[0]:
            return MemoryError("the system ended the process of a device: out of memory")
        return next((e for e in found if recovery.is_out_of_memory(e)), found[0] if found else None)

    def explained(self, error: Exception) -> Exception:
        """The error itself where it is this process's own, else why the one it waited for has ended."""
        if isinstance(error, EndonymError) or recovery.is_out_of_memory(error):
            return error
        until = time.monotonic() + GRACE_SECONDS / 2
        while time.monotonic() < until and self.error() is None:
            time.sleep(LOOK_SECONDS)
        return self.error() or error

    def _run(self) -> None:
        while not self._done.wait(LOOK_SECONDS):
            if self.error() is None:
                self._kills.append(out_of_memory_kills())
            elif not self._done.wait(GRACE_SECONDS):
                self._job.abort(self.error() or JobError("a device is gone", "Resume the job."))


class _Mute(Job):
    """The job as the other processes see it: nothing they say is said, and the first one knows when to stop."""

    def event(self, kind: str, **data: Any) -> None:
        pass

    def log(self, text: str) -> None:
        pass


def main(folder: Path, rank: int, number: int) -> int:
    """Run the recipe as device `rank`; returns the exit code. Its trace goes to the job's log, its error to `error.json`."""
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    own = folder / str(rank)
    try:
        project = Project(about["project"])
        row = rows.get(project.db, about["job"])
        project = project.with_base(row.settings.get("base", ""))
        resolved = resolve_stored(load_stage(row.verb), row.settings, project.path)
        inputs = {
            name: [Path(p) for p in path] if isinstance(path, list) else Path(path)
            for name, path in about["inputs"].items()
        }
        job = _Mute(project, row.id, row.verb, row.plugin, own, inputs, resolved.plugins)
        recovery.copy(Path(about["folder"]), own)
        ((module, cfg),) = resolved.plugins.values()
        with among(_met(rank, number, folder)):
            module.train(cfg.model_copy(update={"dtype": about["dtype"]}), Dataset.of(job, "dataset"), job)
    except BaseException as error:  # what a process has to say must not be lost with it
        memory = recovery.is_out_of_memory(error)
        write_json(own / "error.json", {"text": f"{type(error).__name__}: {error}", "memory": memory})
        print(f"device {rank}: {traceback.format_exc()}", file=sys.stderr)
        return 1
    return 0


def _leave_with(parent: int) -> None:
    """End when the first process does, however it ends."""
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


if __name__ == "__main__":
    threading.Thread(target=_leave_with, args=(int(sys.argv[4]),), daemon=True).start()
    # The first process is asked to stop, and tells the others at which step.
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)
    code = main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    sys.stderr.flush()
    os._exit(code)
