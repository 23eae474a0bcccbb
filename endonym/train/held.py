"""What memory a process holds, and how it stays near what was foretold: free memory in pieces is given back to the system."""

from __future__ import annotations

import ctypes
import resource
import sys

import torch

from endonym.models.load import device

SLACK = 1.05
"""How far beyond the foretold memory a process may grow before what it has free is given back."""


class Bound:
    """Keeps a process on the CPU near the memory that was foretold for its run.

    Packs of ever other sizes leave holes that fit nothing, and a process grows by them: training all weights of a small model on long
    rows from 4.9 to 8.6 GB in six steps. Holes that were given back have to be taken anew, at a cost, so it happens only beyond `SLACK`.
    """

    def __init__(self, foretold_bytes: int):
        self._least = self._most = round(SLACK * foretold_bytes)

    def look(self) -> None:
        """Give back what is free where the process holds too much; does nothing on a GPU, or where the system cannot tell."""
        if device().type == "cuda" or resident_bytes() <= self._most:
            return
        give_back()
        # What is held now is in use. Were that near the bound already, to ask at every pack would cost time and give nothing.
        self._most = max(self._least, round(SLACK * resident_bytes()))


def give_back() -> None:
    """Hand free memory back to the system, where the C library can (that of Linux)."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is not None and hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def resident_bytes() -> int:
    """Memory this process holds now; 0 where the system does not tell it as Linux does."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def peak_bytes() -> int:
    """Most memory this process (on a GPU: this device) has used so far, in bytes."""
    if device().type == "cuda":
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
