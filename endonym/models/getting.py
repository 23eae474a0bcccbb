"""Get a model in a process of its own that goes on when whoever asked is gone, and tell anybody how far it is."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from endonym.errors import EndonymError
from endonym.models import speech, weights
from endonym.store.files import cache_folder, write_json
from endonym.store.process import identity_of, is_alive, pid_of

TELL_SECONDS = 0.3
CANCEL_SECONDS = 5.0
FOLDER = ".getting"
"""Beside the cached models; a file for each that is being got, or could not be."""


def begin(name: str, *, offline: bool) -> dict[str, Any]:
    """Begin to get a model (what `weights.get` and `speech.get` take) and return its state; one that is being got already goes on."""
    known = state(name)
    if known is not None and known["state"] == "getting":
        return known
    command = [sys.executable, "-m", "endonym.models.getting", name, *(["--offline"] if offline else [])]
    # It waits for the end of its input, so that what is written here comes before what it writes.
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert process.stdin is not None
    told = {"name": name, "state": "getting", "what": "", "done": 0, "total": 0, "began": time.time()}
    _write(told | {"worker": identity_of(process.pid)})
    process.stdin.close()
    return told


def cancel(name: str) -> None:
    """End the process that gets a model; what came of it is removed by that process."""
    data = _read(_file(name))
    if data is not None and (pid := pid_of(data["worker"])) is not None:
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + CANCEL_SECONDS
        while is_alive(data["worker"]) and time.monotonic() < until:
            time.sleep(0.05)
    _file(name).unlink(missing_ok=True)


def state(name: str) -> dict[str, Any] | None:
    """How far it is: `name`, `state` (`getting`, `failed`), `what`, `done` of `total`, `began`, and `problem`; None for what nobody gets."""
    return _told(_read(_file(name)))


def states() -> list[dict[str, Any]]:
    """Of everything that is being got, or could not be."""
    files = sorted((cache_folder() / "models" / FOLDER).glob("[0-9a-f]*.json"))
    return [told for file in files if (told := _told(_read(file)))]


def main(name: str, offline: bool) -> int:
    """Get a model and write down how far it is; returns the exit code."""
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(1))  # so that what is half there is removed
    sys.stdin.read()
    began, told = _read(_file(name)) or {}, ("", 0.0)

    def progress(what: str, done: int, total: int) -> None:
        nonlocal told
        if what != told[0] or time.monotonic() - told[1] > TELL_SECONDS:
            told = what, time.monotonic()
            _write(began | {"what": what, "done": done, "total": total})

    try:
        (speech.get if name in speech.catalog() else weights.get)(name, offline=offline, progress=progress)
    except EndonymError as error:
        _write(began | {"state": "failed", "problem": {"message": error.message, "hint": error.hint}})
        return error.exit_code
    except Exception as error:  # whoever looks must learn why it ended
        _write(began | {"state": "failed", "problem": {"message": str(error) or type(error).__name__, "hint": _AGAIN}})
        raise
    _file(name).unlink(missing_ok=True)
    return 0


_AGAIN = "Look whether the disk has room for it, and get it again."


def _told(data: dict[str, Any] | None) -> dict[str, Any] | None:
    if data is None:
        return None
    worker = data.pop("worker")
    if data["state"] == "getting" and is_alive(worker) is False:
        return data | {"state": "failed", "problem": {"message": "getting it was interrupted", "hint": _AGAIN}}
    return {"problem": None, **data}


def _file(name: str) -> Path:
    return cache_folder() / "models" / FOLDER / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def _read(file: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _write(data: dict[str, Any]) -> None:
    file = _file(data["name"])
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, data)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], "--offline" in sys.argv[2:]))
