"""Download a wheel that carries a model, and tell how much of a download has come."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from endonym.errors import MissingError

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much is done, and the total (0 when unknown)."""
WATCH_SECONDS = 0.5


def wheel(package: Mapping[str, Any], folder: Path, progress: Progress | None) -> Path:
    """Download a package's wheel into `folder` with pip, alone. Raises MissingError with pip's last words."""
    requirement = f"{package['name']}=={package['version']}"
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--quiet",
        "-d",
        str(folder),
    ]
    place = {**os.environ, "TMPDIR": str(folder)}  # pip's own temporary files too, so that they can be watched
    with watched(folder, f"downloading {requirement}", int(package["bytes"]), progress):
        done = subprocess.run([*command, requirement], capture_output=True, text=True, check=False, env=place)
    found = next(folder.glob(f"{package['name'].replace('-', '_')}-{package['version']}-*.whl"), None)
    if done.returncode or found is None:
        reason = (done.stderr or done.stdout).strip().splitlines()
        raise MissingError(
            f"pip could not download {requirement}: {reason[-1] if reason else 'no reason given'}",
            f"Try: {sys.executable} -m pip download --no-deps {requirement}",
        )
    return found


@contextmanager
def watched(folder: Path, what: str, total: int, progress: Progress | None) -> Iterator[None]:
    """Tell from time to time how much of a download has come: as much as came to lie in `folder`."""
    ended = threading.Event()

    def size() -> int:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def look() -> None:
        most = 0  # what was joined and removed has come all the same
        while progress and not ended.wait(WATCH_SECONDS):
            with suppress(OSError):  # a file that was renamed meanwhile
                most = max(most, min(size() - before, total))
                progress(what, most, total)

    if progress:
        progress(what, 0, total)
    before = size() if folder.is_dir() else 0
    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
