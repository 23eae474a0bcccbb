"""`endonym --help` answers at once: it imports nothing heavy and takes at most six times a bare Python."""

from __future__ import annotations

import resource
import subprocess
import sys

HEAVY = {"torch", "pydantic", "numpy", "transformers", "fastapi", "sqlite3", "sacrebleu"}


def test_help_imports_nothing_heavy():
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "endonym", "--help"], capture_output=True, text=True, check=True
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in ran.stderr.splitlines()}
    assert "endonym" in imported
    assert not imported & HEAVY
    assert "usage: endonym" in ran.stdout


def test_help_takes_at_most_six_times_a_bare_python():
    bare, helped = [sys.executable, "-c", "pass"], [sys.executable, "-m", "endonym", "--help"]
    seconds(helped)
    # The least of several runs in turn, so that a busy machine slows both alike.
    times = [(seconds(bare), seconds(helped)) for _ in range(12)]
    ratio = min(h for _, h in times) / min(b for b, _ in times)
    assert ratio <= 6, f"endonym --help takes {ratio:.1f} times a bare Python"


def seconds(command: list[str]) -> float:
    """Of the processor, which a busy machine does not lengthen as it does the time on the clock."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
