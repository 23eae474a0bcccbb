"""Which process is at work: told apart from a later one of the same number, and whether it still lives."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def identity(guard: int = 0) -> str:
    """This process: host, boot, pid, start time. With the pid of a `guard`, the same of the process that starts it anew."""
    return identity_of(os.getpid(), guard)


def identity_of(pid: int, guard: int = 0) -> str:
    """As `identity`, of process `pid` of this machine."""
    pids = [pid, guard] if guard else [pid]
    return "|".join([platform.node(), _boot_id(), *(f"{pid}|{_start_time(pid)}" for pid in pids)])


def pid_of(worker: str) -> int | None:
    """The process number in an identity when it is one of this machine that still lives; of a guarded one, the one that works."""
    if not is_alive(worker):
        return None
    pid, start = worker.split("|")[2:4]
    return int(pid) if _is_running(int(pid), start) else None


def is_alive(worker: str) -> bool | None:
    """Whether a worker process, or its guard, lives: True, False, or None when it cannot be known (another machine)."""
    host, boot, *processes = worker.split("|") if worker.count("|") in (3, 5) else ("", "")
    if not processes or host != platform.node():
        return None
    if boot != _boot_id():
        return False
    return any(_is_running(int(pid), start) for pid, start in zip(processes[::2], processes[1::2], strict=True))


def _is_running(pid: int, start: str) -> bool:
    started = _start_time(pid)
    if started:
        return started == start
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return bool(not Path("/proc/self/stat").exists())


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def _start_time(pid: int) -> str:
    """Start time of a process in clock ticks since boot, or `""` where /proc does not tell or it is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]
