"""Jobs: start one, see how it goes, pause it, take what it made."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response
from pydantic import Field

from endonym.errors import LeakError, UsageError
from endonym.jobs import submit as jobs
from endonym.jobs.stage import load_stage
from endonym.project import Project
from endonym.store import events as log
from endonym.store import jobs as rows
from endonym.web.asked import LARGEST, After, Body, JobId, Limit, Offset, Opened, Text, Values, job_of
from endonym.web.curves import largest_triangles
from endonym.web.errors import NotFoundError
from endonym.web.shapes import work
from endonym.web.shapes.shape import answers

router = APIRouter(prefix="/api/v1/projects/{project}/jobs", tags=["jobs"])
LOG_BYTES = 1 << 16
MOST_FILES = 10_000
OWN_FILES = ("log.txt", "config.toml", "environment.json", "job.json", "artifact.json", "events.jsonl")
"""Of a run folder, what may be read beside what the job made."""
PAGE = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; frame-ancestors 'self'"
"""Policy of a report shown inside the studio: it is looked at, and does nothing."""
Name = Annotated[str, Query(max_length=200)]
JobNumber = Annotated[int, Field(ge=1, le=LARGEST)]


class NewJob(Body):
    """A job to start."""

    verb: Text = Field(max_length=40, description="Such as `teach`, `train`, `evaluate`.")
    plugin: Text = Field("", max_length=100, description="For a verb with one plugin, its name: the recipe of `train`.")
    settings: Values = Field({}, description="As in the table of the verb in endonym.toml.")
    inputs: dict[str, JobNumber | list[JobNumber]] = Field(
        {}, max_length=16, description="Job numbers of inputs; the newest of the kind where none is named."
    )


@router.get("", **answers(work.Jobs))
def listing(found: Opened, verb: Name = "", state: Name = "", offset: Offset = 0, limit: Limit = 100) -> dict[str, Any]:
    """Jobs, newest first; a running one with its progress."""
    where, values = ["1"], []
    for column, value in (("verb", verb), ("state", state)):
        if value:
            where.append(f"{column} = ?")
            values.append(value)
    said = " AND ".join(where)
    (total,) = found.db.execute(f"SELECT COUNT(*) FROM jobs WHERE {said}", values).fetchone()
    page = found.db.execute(
        f"SELECT id FROM jobs WHERE {said} ORDER BY id DESC LIMIT ? OFFSET ?", [*values, limit, offset]
    )
    return {"total": total, "jobs": [described(found, rows.get(found.db, row["id"])) for row in page.fetchall()]}


@router.post("", **answers(work.Job, 202))
def start(new: NewJob, found: Opened, request: Request) -> dict[str, Any]:
    """Start a job; one whose result is there already is given back as it is (`skipped`)."""
    if hasattr(load_stage(new.verb).module, "serve"):
        raise UsageError(f"'{new.verb}' runs in the foreground and is no job", "Chat here, or run it in a terminal.")
    request.app.state.home.allow(new.settings)
    row = jobs.submit(found, new.verb, new.plugin, new.settings, inputs=new.inputs)
    return {**described(found, row), "skipped": row.state == "succeeded"}


@router.get("/{job}", **answers(work.Job))
def read(job: JobId, found: Opened) -> dict[str, Any]:
    """One job: state, settings, inputs, progress, numbers, error, what it made."""
    return described(found, job_of(found, job))


@router.post("/{job}/cancel", **answers(work.Job))
def cancel(job: JobId, found: Opened) -> dict[str, Any]:
    """Ask a job, and those it started, to end."""
    rows.request_cancel(found.db, job_of(found, job).id)
    return described(found, rows.get(found.db, job))


@router.post("/{job}/pause", **answers(work.Job))
def pause(job: JobId, found: Opened) -> dict[str, Any]:
    """Ask a job, and those it started, to save and stop; it keeps its number and goes on with `resume`."""
    rows.request_pause(found.db, job_of(found, job).id)
    return described(found, rows.get(found.db, job))


@router.post("/{job}/resume", **answers(work.Job, 202))
def resume(job: JobId, found: Opened) -> dict[str, Any]:
    """Let a job go on from its last checkpoint; one that failed or was cancelled does so as a new job, which is the answer."""
    return described(found, jobs.resume(found, job_of(found, job).id))


@router.get("/{job}/steps", **answers(work.Steps))
def steps(job: JobId, found: Opened) -> dict[str, Any]:
    """The steps of a teaching job, each as it stands; no steps for other jobs."""
    row = job_of(found, job)
    latest: dict[int, dict[str, Any]] = {}
    for one in found.db.execute("SELECT * FROM events WHERE job = ? AND kind = 'step' ORDER BY id", (row.id,)):
        event = log.Event.from_row(one)
        latest[int(event.data["n"])] = {**event.data, "time": event.time}
    return {"job": row.id, "state": row.state, "steps": [latest[n] for n in sorted(latest)]}


@router.get("/{job}/events", **answers(work.Events))
def events(job: JobId, found: Opened, after: After = 0, limit: Limit = 200, kind: Name = "") -> dict[str, Any]:
    """Events of the job with a number above `after`, oldest first; `next` is the `after` to go on with."""
    row = job_of(found, job)
    said, values = ("AND kind = ?", [kind]) if kind else ("", [])
    page = found.db.execute(
        f"SELECT * FROM events WHERE job = ? AND id > ? {said} ORDER BY id LIMIT ?", [row.id, after, *values, limit]
    )
    shown = [asdict(log.Event.from_row(one)) for one in page.fetchall()]
    return {"events": shown, "next": shown[-1]["id"] if shown else after}


@router.get("/{job}/metrics", **answers(work.Metrics))
def metrics(
    job: JobId,
    found: Opened,
    name: Annotated[list[Name] | None, Query(max_length=32)] = None,
    points: Annotated[int, Query(ge=3, le=20_000)] = 1000,
) -> dict[str, Any]:
    """The curves of the job, of at most `points` points each: those that keep its shape (largest-triangle-three-buckets)."""
    row = job_of(found, job)
    names, curves = log.measured(found.db, row.id), {}
    for one in names if name is None else set(name) & set(names):
        kept = largest_triangles(log.curve(found.db, row.id, one), points)
        curves[one] = {"number": names[one], "steps": [x for x, _ in kept], "values": [y for _, y in kept]}
    return {"names": names, "curves": curves}


@router.get("/{job}/log", **answers(work.Log))
def read_log(job: JobId, found: Opened, after: Annotated[int | None, Query(ge=0, le=1 << 62)] = None) -> dict[str, Any]:
    """The log from byte `after` on, its end where none is said; `next` is the `after` to go on with. Only whole lines while it runs."""
    row = job_of(found, job)
    path = found.runs / row.folder / "log.txt"
    if not path.is_file() or path.is_symlink():
        return {"text": "", "next": 0, "size": 0}
    size = path.stat().st_size
    begin = max(0, size - LOG_BYTES) if after is None else min(after, size)
    with path.open("rb") as file:
        file.seek(begin)
        text = file.read(LOG_BYTES)
    if after is None and begin:
        begin, text = begin + text.find(b"\n") + 1, text[text.find(b"\n") + 1 :]
    whole = text[: text.rfind(b"\n") + 1] if b"\n" in text else text if row.finished or len(text) == LOG_BYTES else b""
    return {"text": whole.decode("utf-8", "replace"), "next": begin + len(whole), "size": size}


@router.get("/{job}/files", **answers(work.Files))
def files(job: JobId, found: Opened) -> dict[str, Any]:
    """The files of the run folder that may be taken: what the job made, and what it wrote down."""
    folder = _folder(found, job)
    made = sorted(path for path in (folder / "output").rglob("*") if path.is_file() and not path.is_symlink())
    paths = [*made[:MOST_FILES], *(folder / name for name in OWN_FILES if (folder / name).is_file())]
    shown = [{"path": path.relative_to(folder).as_posix(), "bytes": path.stat().st_size} for path in paths]
    return {"files": shown, "left_out": max(0, len(made) - MOST_FILES)}


@router.get("/{job}/files/{path:path}", response_class=FileResponse)
def download(job: JobId, path: str, found: Opened, inline: bool = False) -> Response:
    """One file. With `inline`, an HTML report or a picture to be shown inside the studio, where it can do nothing."""
    file = confined(_folder(found, job), path)
    if file.name == "test.jsonl":
        raise LeakError(
            "the test split is sealed", "It lies in the run folder; whoever opens it there knows what they do."
        )
    kinds = {
        ".html": "text/html",
        ".svg": "image/svg+xml",
        ".png": "image/png",
        ".txt": "text/plain",
        ".json": "application/json",
    }
    kind = kinds.get(file.suffix) if inline else None
    response = FileResponse(file, media_type=kind or "application/octet-stream", filename=None if kind else file.name)
    if kind:
        response.headers["content-security-policy"] = PAGE
        response.headers["x-frame-options"] = "SAMEORIGIN"
    return response


def described(project: Project, row: rows.JobRow) -> dict[str, Any]:
    """A job as JSON."""
    made = project.db.execute("SELECT kind, hash FROM artifacts WHERE job = ?", (row.id,)).fetchone()
    children = [child.id for child in rows.children(project.db, row.id)]
    hidden = ("worker", "lease_until", "key")
    return {
        **{name: value for name, value in asdict(row).items() if name not in hidden}, "name": row.name,
        "artifact": dict(made) if made else None, "children": children,
        "progress": _last(project.db, row.id, "tick"),
        "waiting": _last(project.db, row.id, "waiting") if row.state == "queued" else None, "problem": row.error.get("message", ""),
    }  # fmt: skip


def confined(folder: Path, path: str) -> Path:
    """The file `path` of a run folder. Raises NotFoundError for whatever is not a file of it: other places, links, what it holds back."""
    parts = path.split("/")
    allowed = parts[0] == "output" or (len(parts) == 1 and path in OWN_FILES)
    plain = "\0" not in path and "\\" not in path and all(part not in ("", ".", "..") for part in parts)
    file = folder.joinpath(*parts) if allowed and plain else folder
    try:
        # A link anywhere on the way leads to another resolved path.
        if allowed and plain and file.is_file() and file.resolve() == folder.resolve().joinpath(*parts):
            return file
    except OSError:  # a name too long to exist
        pass
    raise NotFoundError("there is no such file of this job", "See: GET /api/v1/projects/ID/jobs/N/files")


def _folder(project: Project, job: int) -> Path:
    return project.runs / job_of(project, job).folder


def _last(db: sqlite3.Connection, job: int, kind: str) -> dict[str, Any] | None:
    event = log.last(db, job, kind)
    return {**event.data, "time": event.time} if event else None
