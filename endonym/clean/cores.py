"""Do the same to each of many items on all cores, in their order."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
MOST = 4
"""Processes at a time: each comes to hold a part of the models' memory for itself."""

_work: Callable[[Any], Any]


def worked(work: Callable[[Item], Any], items: Iterable[Item], cores: int = 0) -> Iterator[tuple[Item, Any]]:
    """Each item and what `work` makes of it. Where a process can be forked, which is Linux, the forks do it with what they inherit.

    `work` may hold anything, but items and results go through pipes. At most two items a process are ahead of what is taken.
    """
    cores = cores or min(MOST, len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1)
    if cores < 2:
        yield from ((item, work(item)) for item in items)
        return
    forks = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(cores, forks, _begin, (work, os.getpid())) as pool:
        waiting: deque[tuple[Item, Future[Any]]] = deque()
        for item in items:
            waiting.append((item, pool.submit(_do, item)))
            if len(waiting) > 2 * cores:
                first, made = waiting.popleft()
                yield first, made.result()
        for first, made in waiting:
            yield first, made.result()


def _begin(work: Callable[[Any], Any], parent: int) -> None:
    global _work
    _work = work
    for name in (signal.SIGTERM, signal.SIGINT):  # the worker's own way of stopping is not inherited
        signal.signal(name, signal.SIG_DFL)
    threadpool_limits(1)  # as many processes as cores: threads of each would only wait for one another
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """A process that is left behind would wait for ever."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _do(item: Any) -> Any:
    return _work(item)
