"""Results: models, the tokenizer's bill, scores, answers side by side, and what can be shipped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query

from endonym.compare import runs
from endonym.compare.significance import (
    Key,
    difference,
    higher_is_better,
    judged,
    key_of,
    read_statistics,
    signature_of,
)
from endonym.data.statistics import RESAMPLES, SEED, SIGNIFICANT
from endonym.errors import MissingError
from endonym.models.weights import cached, catalog
from endonym.project import Project
from endonym.store import jobs as rows
from endonym.web.answers import read_json
from endonym.web.asked import SYSTEM, Limit, Offset, Opened
from endonym.web.errors import NotFoundError
from endonym.web.shapes import work
from endonym.web.shapes.shape import answers

router = APIRouter(prefix="/api/v1", tags=["results"])
System = Annotated[str, Query(pattern=f"^({SYSTEM})$", description="`base`, or the number of a training job.")]
Word = Annotated[str, Query(max_length=100)]


@router.get("/projects/{project}/models", **answers(work.Models))
def models(found: Opened) -> dict[str, Any]:
    """The base, and every model that was trained here, newest first."""
    entry = catalog().get(found.base, {})
    here = cached(found.base) is not None or Path(found.base).is_dir()
    base = {"id": "base", "name": Path(found.base).name, "licence": entry.get("licence"),
            "parameters": entry.get("parameters"), "here": here}  # fmt: skip
    return {"base": base, "models": [_model(found, row) for row in reversed(rows.artifacts(found.db, "model"))]}


@router.get("/projects/{project}/tokenizer")
def tokenizer(found: Opened) -> dict[str, Any]:
    """The newest report on what the tokenizer makes of the language, and the newest decision about it; null before there is one."""
    answer = {}
    for kind, name in (("tokenizer", "report"), ("decision", "decision")):
        job = rows.newest_artifact(found.db, kind)
        answer[name] = read_json(found.output(job) / f"{name}.json") if job else None
        answer[f"{name}_job"] = job
    return answer


@router.get("/projects/{project}/scores")
def scores(found: Opened) -> dict[str, Any]:
    """Every evaluation, newest first: a row for each system, task, direction and metric, with interval and signature."""
    shown = []
    for row in reversed(rows.artifacts(found.db, "scores")):
        data = read_json(found.output(row["job"]) / "scores.json")
        if data:
            about = {key: data.get(key) for key in ("rows", "data_hash", "models", "items", "settings")}
            shown.append({"job": row["job"], "created": row["created"], "model": _trained(found, row["job"]), **about})
    return {"scores": shown}


@router.get("/projects/{project}/exports")
def exports(found: Opened) -> dict[str, Any]:
    """What can be shipped, newest first: files, certificate, how to use it."""
    shown = []
    for row in reversed(rows.artifacts(found.db, "export")):
        job, folder = rows.get(found.db, row["job"]), found.output(row["job"])
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        shown.append({
            "job": job.id, "format": job.plugin, "created": row["created"], "hash": row["hash"],
            "model": job.inputs.get("model"), "parity": read_json(folder / "parity.json"), "use": _use(folder),
            "files": [{"path": f"output/{p.relative_to(folder).as_posix()}", "bytes": p.stat().st_size} for p in files],
        })  # fmt: skip
    return {"exports": shown}


@router.get("/projects/{project}/report")
def report(found: Opened) -> dict[str, Any]:
    """The newest report (an HTML page among its job's files) and the comparisons in it; null before there is one."""
    job = rows.newest_artifact(found.db, "report")
    if job is None:
        return {"job": None, "path": None, "comparisons": []}
    data = read_json(found.output(job) / "comparisons.json") or {}
    return {"job": job, "path": "output/report.html", "comparisons": data.get("comparisons", [])}


@router.get("/projects/{project}/compare")
def compare(
    found: Opened, a: System = "base", b: System = "", task: Word = "", direction: Word = "", offset: Offset = 0,
    limit: Limit = 50,
) -> dict[str, Any]:  # fmt: skip
    """Two systems on the same questions of the sealed test: paired differences with intervals, and their answers side by side.

    A system is `base` or the number of a training job; `b` is the newest model where it is not named.
    """
    second = b or str(rows.newest_artifact(found.db, "model") or "")
    if not second:
        raise MissingError("no model has been trained yet", "Train and evaluate one first.")
    newest = rows.newest_artifact(found.db, "scores")
    if newest is None:
        raise MissingError("nothing was evaluated yet", "Run: evaluate.")
    last = _side(found, second, second)
    sides = [_side(found, a, second if a == "base" else a), last]
    items = _both(sides, task, direction)
    shown = [_item(sides, row) for row in items[offset : offset + limit]]
    return {
        "a": {"system": a, "evaluation": sides[0][0]}, "b": {"system": second, "evaluation": sides[1][0]},
        "differences": _differences(found, sides), "total": len(items), "items": shown,
    }  # fmt: skip


Side = tuple[int, Path, str]
"""Job of an evaluation, its folder, and the name the system has in it."""


def _side(project: Project, name: str, model: str) -> Side:
    """The evaluation that speaks for a system: of the base, the one the model beside it was in, else the newest."""
    if name != "base" and int(name) not in [row["job"] for row in rows.artifacts(project.db, "model")]:
        raise NotFoundError(f"job {name} trained no model", "See: GET /api/v1/projects/ID/models")
    if model == "base":
        job = rows.newest_artifact(project.db, "scores") or 0
    else:
        job = runs.find([model], project)[0].evaluation
    return job, project.output(job), "base" if name == "base" else "tuned"


def _lines(side: Side) -> Iterator[dict[str, Any]]:
    path = side[1] / "outputs.jsonl"
    if path.is_file():
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                if row["system"] == side[2]:
                    yield row


def _both(sides: list[Side], task: str, direction: str) -> list[dict[str, Any]]:
    """Questions that both answered in words, each with both rows."""
    first = {(row["task"], row["id"]): row for row in _lines(sides[0]) if row.get("text") is not None}
    found = []
    for row in _lines(sides[1]):
        other = first.get((row["task"], row["id"]))
        fits = (not task or row["task"] == task) and (not direction or row["direction"] == direction)
        if fits and other is not None and row.get("text") is not None:
            found.append({"a": other, "b": row})
    return found


def _item(sides: list[Side], row: dict[str, Any]) -> dict[str, Any]:
    about = row["b"]
    shown = {key: about.get(key) for key in ("id", "task", "direction", "source", "references", "prompt")}
    return {**shown, "a": row["a"]["text"], "b": row["b"]["text"]}


def _differences(project: Project, sides: list[Side]) -> list[dict[str, Any]]:
    """`b` minus `a` for each task, direction and metric, by paired bootstrap over the questions both answered."""
    tables: list[dict[Key, dict[str, Any]]] = []
    for _, folder, system in sides:
        known = read_statistics(folder) if (folder / "statistics.jsonl").is_file() else []
        tables.append({key_of(row): row for row in known if row["system"] == system})
    higher = higher_is_better((read_json(sides[1][1] / "scores.json") or {}).get("rows", []))
    found = []
    for key, row in tables[1].items():
        result = difference(row, tables[0][key], RESAMPLES, SEED, project.path) if key in tables[0] else None
        if result is not None:
            signed = signature_of(SIGNIFICANT, RESAMPLES, SEED)
            found.append(judged(key, ("b", "a"), result, higher.get(key, True), SIGNIFICANT, signed).as_json())
    return found


def _model(project: Project, made: Any) -> dict[str, Any]:
    row = rows.get(project.db, made["job"])
    about = read_json(project.output(row.id) / "model.json") or {}
    return {
        "id": str(row.id), "job": row.id, "recipe": row.plugin, "created": made["created"], "hash": made["hash"],
        "settings": row.settings.get("plugins", {}).get(row.plugin, {}), "summary": row.summary,
        "about": {key: value for key, value in about.items() if not isinstance(value, list | dict)},
    }  # fmt: skip


def _trained(project: Project, job: int) -> int | None:
    """The training job whose model an evaluation asked."""
    model = rows.get(project.db, job).inputs.get("model")
    return model if isinstance(model, int) else None


def _use(folder: Path) -> str:
    """The part of the model card that says how to use the export."""
    card = folder / "README.md"
    if not card.is_file():
        return ""
    return card.read_text(encoding="utf-8").partition("## How to use it")[2].partition("\n## ")[0].strip()
