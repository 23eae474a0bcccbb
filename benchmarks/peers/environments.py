"""A virtual environment for each peer, because their pins conflict: made once, reused while what it was made from stays the same."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

STAMP = "installed.json"


class UnavailableError(Exception):
    """A peer that cannot be installed here, with the reason."""


def ready(folder: Path, requirements: Sequence[str], without: Sequence[str] = (), pip: Sequence[str] = ()) -> Path:
    """Python of the environment `folder` with `requirements` in it; raises UnavailableError with pip's own last words.

    `without` are paths below its `site-packages` that are deleted again. It is made anew with another Python or other `pip` arguments:
    from another index the same version may be another build.
    """
    python = folder / "bin" / "python"
    stamp = folder / STAMP
    asked = {
        "requirements": list(requirements), "without": list(without), "python": platform.python_version(),
        # As a digest, for an index address may hold a password.
        "pip": hashlib.sha256(json.dumps(list(pip)).encode()).hexdigest(),
    }  # fmt: skip
    if stamp.is_file() and json.loads(stamp.read_text(encoding="utf-8")) == asked:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *pip, *requirements],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            errors = [line for line in (done.stderr + done.stdout).splitlines() if line.startswith("ERROR")]
            raise UnavailableError("; ".join(errors[-2:]) or f"{command[0]} ended with {done.returncode}")
    for path in without:
        for found in folder.glob(f"lib/python*/site-packages/{path}"):
            shutil.rmtree(found)
    stamp.write_text(json.dumps(asked), encoding="utf-8")
    return python
