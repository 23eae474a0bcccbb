"""Start a worker as a detached process on this machine; it outlives the program that started it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict

_ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Memory given back is kept for the next step: taking new pages from the system costs more than the product written to them.
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    # But for the gradient of all embeddings and its like: of the hole it leaves something small soon takes a bit, and it fits no more.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    # PyTorch and oneDNN each keep up to 1,024 prepared kernels of about 100 kB; packs of ever other sizes fill that.
    "LRU_CACHE_CAPACITY": "512",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "512",
}


class Config(BaseModel):
    """A local process has no settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def launch(project: Path, job: int, folder: Path, reserved: str = "", cfg: Config | None = None) -> int:
    """Start the worker of job `job` and return its process id. Its output goes to `log.txt` in the run folder.

    `reserved` is the identity of the process that the database names as the job's until the worker comes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "endonym.worker", str(project), str(job), reserved],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**_ENVIRONMENT, "GOMP_SPINCOUNT": _spins(), **os.environ},
        )
    return process.pid


def _spins() -> str:
    """How long threads that wait for each other keep their core.

    On an idle machine long spinning makes training 5 to 14 % faster; beside anything else it halves the speed, or worse.
    """
    idle = hasattr(os, "getloadavg") and os.getloadavg()[0] < 0.25 * (os.cpu_count() or 1)
    return "300000" if idle else "2000"
