"""Datasets: what stands in each, a page at a time, and why records were left out. The sealed test stays sealed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query

from endonym.data.dataset import Dataset
from endonym.errors import DataError, LeakError
from endonym.project import Project
from endonym.store import jobs as rows
from endonym.web import lines
from endonym.web.asked import JobId, Limit, Offset, Opened, job_of
from endonym.web.errors import NotFoundError
from endonym.web.shapes import material
from endonym.web.shapes.shape import answers

router = APIRouter(prefix="/api/v1/projects/{project}/datasets", tags=["datasets"])
KINDS = ("raw", "clean", "aligned", "split", "augmented", "chats")
Words = Annotated[str, Query(max_length=200)]


@router.get("", **answers(material.Datasets))
def listing(found: Opened) -> dict[str, Any]:
    """All datasets, newest first: kind, counts by split, what was left out and why, licences."""
    made = [row for row in rows.artifacts(found.db) if row["kind"] in KINDS]
    return {"datasets": [about for row in reversed(made) if (about := _about(found, row))]}


@router.get("/{job}/records", **answers(material.Records))
def records(
    job: JobId, found: Opened, split: Words = "", offset: Offset = 0, limit: Limit = 50, query: Words = ""
) -> dict[str, Any]:
    """Records of one split, from line `offset` on; with `query`, those that have it in a text, in any case.

    `next` is the offset to go on with. A search may end before its page is full: go on with `next` while it is not null.
    """
    data = _dataset(found, job)
    split = split or ("records" if data.splits == ["records"] else next(s for s in data.splits if s != "test"))
    if split not in data.splits:
        raise NotFoundError(f"there is no split '{split}'", f"There are: {', '.join(data.splits)}.")
    if split == "test":
        raise LeakError("the test split is sealed", "Its scores and answers are under /scores and /compare.")
    wanted = query.strip().casefold()

    def fits(line: bytes) -> bool:
        # Nearly all lines are told by their bytes as text; only those that have it anywhere are looked into.
        return wanted in line.decode("utf-8", "replace").casefold() and any(
            wanted in text.casefold() for text in _texts(json.loads(line))
        )

    found_page = lines.page(data.folder / f"{split}.jsonl", offset, limit, fits if wanted else None)
    return {
        "split": split, "total": data.count(split), "next": found_page.next,
        "records": [{"line": number, **json.loads(line)} for number, line in found_page.lines],
    }  # fmt: skip


@router.get("/{job}/ledger", **answers(material.Ledger))
def ledger(job: JobId, found: Opened, offset: Offset = 0, limit: Limit = 50, reason: Words = "") -> dict[str, Any]:
    """What was left out, from line `offset` on: reason, detail, record; with `reason`, what was left out for it.

    What `split` left out may be of the test: its texts are not shown.
    """
    data = _dataset(found, job)
    mark = f'"reason": {json.dumps(reason, ensure_ascii=False)}'.encode()
    found_page = lines.page(
        data.folder / "ledger.jsonl", offset, limit, (lambda line: mark in line) if reason else None
    )
    dropped = [{"line": number, **json.loads(line)} for number, line in found_page.lines]
    if "test" in data.splits:
        dropped = [{key: one[key] for key in ("line", "reason", "detail")} for one in dropped]
    reasons = data.manifest.get("dropped", {})
    return {"reasons": reasons, "total": sum(reasons.values()), "next": found_page.next, "dropped": dropped}


def _dataset(project: Project, job: int) -> Dataset:
    row = job_of(project, job)
    kinds = [one["kind"] for one in rows.artifacts(project.db) if one["job"] == job]
    if not kinds or kinds[0] not in KINDS:
        raise NotFoundError(f"job {job} ({row.name}) made no dataset", "See: GET /api/v1/projects/ID/datasets")
    return Dataset(project.runs / row.folder / "output", "web")


def _about(project: Project, made: Any) -> dict[str, Any] | None:
    row = rows.get(project.db, made["job"])
    folder: Path = project.runs / row.folder / "output"
    if not (folder / "manifest.json").is_file():  # its run folder was removed by hand
        return None
    try:
        manifest, problem = Dataset(folder, "web").manifest, None
    except DataError as error:
        manifest, problem = {"files": {}}, {"message": error.message, "hint": error.hint}
    return {
        "job": row.id, "name": row.name, "kind": made["kind"], "created": made["created"], "hash": made["hash"],
        "splits": {name: about["records"] for name, about in manifest["files"].items()},
        "kinds": {name: about["kinds"] for name, about in manifest["files"].items()},
        "read": manifest.get("read"), "dropped": manifest.get("dropped", {}), "licences": manifest.get("licences", {}),
        "restrictions": manifest.get("restrictions", {}), "characters": manifest.get("characters", {}), "problem": problem,
    }  # fmt: skip


def _texts(record: dict[str, Any]) -> list[str]:
    """The texts of a record as it is stored."""
    parts = [record.get(name) for name in ("text", "source", "target", "headword", "chosen", "rejected")]
    parts += [one.get("content") for one in record.get("messages", ())]
    parts += [one.get("definition") for one in record.get("senses", ())]
    return [part for part in parts if isinstance(part, str)]
