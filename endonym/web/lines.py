"""Pages of a file of lines: any place in it is found without reading what stands before, and nothing is kept but where lines begin."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

EVERY = 512
"""Lines between two marks."""
MOST_FILES = 64
MOST_BYTES = 4 << 20
"""Of one page."""
SEARCH_SECONDS = 1.5


@dataclass
class _Marks:
    """Where every EVERY-th line of a file begins, as far as it was read."""

    stamp: tuple[int, int]
    starts: list[int] = field(default_factory=lambda: [0])


@dataclass(frozen=True)
class Page:
    """Some lines of a file."""

    lines: list[tuple[int, bytes]]
    """Each with its number, from 0."""
    next: int | None
    """The line to go on from; None at the end of the file."""


_KNOWN: OrderedDict[Path, _Marks] = OrderedDict()
_LOCK = threading.Lock()


def page(path: Path, start: int, limit: int, fits: Callable[[bytes], bool] | None = None) -> Page:
    """At most `limit` lines from line `start` on; with `fits`, those that fit, as far as one gets in `SEARCH_SECONDS`.

    A page ends early when it would hold more than MOST_BYTES, but has at least one line.
    """
    found: list[tuple[int, bytes]] = []
    size, until = 0, time.monotonic() + SEARCH_SECONDS
    for number, line in _from(path, start):
        if len(found) == limit or (found and size + len(line) > MOST_BYTES) or (fits and time.monotonic() > until):
            return Page(found, number)
        if fits is None or fits(line):
            found.append((number, line))
            size += len(line)
    return Page(found, None)


def _from(path: Path, start: int) -> Iterator[tuple[int, bytes]]:
    """Lines from number `start` on, each with its number; marks are set on the way."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        marks = _marks(path)
        at = min(start // EVERY, len(marks.starts) - 1)
        file.seek(marks.starts[at])
        number = at * EVERY
        while line := file.readline():
            if number >= start:
                yield number, line
            number += 1
            if number % EVERY == 0:
                with _LOCK:  # others may read the same file
                    if number // EVERY == len(marks.starts):
                        marks.starts.append(file.tell())


def _marks(path: Path) -> _Marks:
    about = path.stat()
    stamp = (about.st_mtime_ns, about.st_size)
    with _LOCK:
        known = _KNOWN.pop(path, None)
        if known is None or known.stamp != stamp:
            known = _Marks(stamp)
        _KNOWN[path] = known
        if len(_KNOWN) > MOST_FILES:
            _KNOWN.popitem(last=False)
    return known
