"""Start the worker of a queued job, of which there can be one; and what it finds in its run folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from endonym.launch.process import launch
from endonym.store import jobs as rows
from endonym.store.files import write_json
from endonym.store.process import identity, identity_of

if TYPE_CHECKING:
    from endonym.project import Project

_OWN = ("job.json", "events.jsonl", "log.txt", "artifact.json", "config.toml", "environment.json")
"""What tells of one job and stays with it; everything else in a run folder is work, which another may go on with."""


def start(project: Project, row: rows.JobRow) -> bool:
    """Start a worker for a queued job; False when it has one that lives, or is not queued any more."""
    me = identity()
    if not rows.reserve(project.db, row.id, me):
        return False
    worker = ""
    try:
        describe(project, row)
        worker = identity_of(launch(project.path, row.id, project.runs / row.folder, me))
    finally:
        rows.hand_over(project.db, row.id, me, worker)
    return True


def describe(project: Project, row: rows.JobRow) -> None:
    """Leave in the run folder what the database is rebuilt from."""
    about = {
        "id": row.id,
        "verb": row.verb,
        "plugin": row.plugin,
        "key": row.key,
        "settings": row.settings,
        "inputs": row.inputs,
        "created": row.created,
        "parent": row.parent,
        "continues": row.continues,
    }
    write_json(project.runs / row.folder / "job.json", about)


def take_over(project: Project, row: rows.JobRow) -> list[str]:
    """Move the work of the job that this one continues into its run folder; returns the names. Doing it again is harmless.

    A job between the two that was ended before it began has left the work where it was: the whole line is gone through.
    """
    folder, taken, earlier = project.runs / row.folder, [], row
    while earlier.continues is not None:
        earlier = rows.get(project.db, earlier.continues)
        for path in sorted((project.runs / earlier.folder).glob("*")):
            if path.name not in _OWN and not path.name.startswith(".") and not (folder / path.name).exists():
                path.rename(folder / path.name)
                taken.append(path.name)
    return taken
