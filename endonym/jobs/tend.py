"""Look after the jobs of a project: what lost its worker gets another, and what does not stop when asked is stopped.

Any number of processes may do so at once, and none has to: workers need nobody.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from endonym.jobs.begin import start
from endonym.store import jobs as rows
from endonym.store.process import pid_of

if TYPE_CHECKING:
    from endonym.project import Project

TERM_SECONDS = 30.0
KILL_SECONDS = 60.0
"""How long after a job was asked to end a signal follows that its worker can catch, and one to all its processes that none can."""


def tend(project: Project) -> list[int]:
    """Do once what there is to do; returns the jobs that got a worker.

    A job whose worker was found dead starts again from its last checkpoint, `rows.MOST_LOST` times in a row; then it stays
    `needs_recovery` for somebody to look at. One that is so since its database was lost is left alone: its worker may live.
    """
    started = []
    for row in rows.listing(project.db):
        if row.state == "needs_recovery" and 0 < row.lost <= rows.MOST_LOST:
            rows.restart(project.db, row.id)
        if row.state in ("needs_recovery", "queued") and start(project, rows.get(project.db, row.id)):
            started.append(row.id)
        if row.state == "running" and row.asked is not None:
            _urge(project, row, time.time() - row.asked)
    return started


def _urge(project: Project, row: rows.JobRow, seconds: float) -> None:
    """Take the next rung of the ladder, or the last again, which may have been written down by a process that then ended."""
    rung = 2 if seconds > KILL_SECONDS else 1 if seconds > TERM_SECONDS else 0
    if not rung or not (rows.climb(project.db, row.id, rung) or rung == 2):
        return
    pid = pid_of(row.worker)
    try:
        if pid is not None and rung == 1:
            os.kill(pid, signal.SIGTERM)
        elif pid is not None and os.getpgid(pid) != os.getpgid(0):
            os.killpg(os.getpgid(pid), signal.SIGKILL)
        elif pid is not None:
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # It has ended meanwhile, as it should.
