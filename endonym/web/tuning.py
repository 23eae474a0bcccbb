"""Files and fine-tuning jobs as OpenAI's interface knows them: files in the studio's folder, and a project for each job."""

from __future__ import annotations

import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from endonym.config import to_toml
from endonym.project import STATE_FOLDER, Project
from endonym.store import events as log
from endonym.store import jobs as rows
from endonym.store.files import write_json
from endonym.web.answers import read_json
from endonym.web.errors import NotFoundError
from endonym.web.home import Home

ABOUT = "fine_tuning.json"
"""In the state folder of a project that was made for a fine-tuning job: what was asked for, and the number of the job."""
SETTINGS: dict[str, Any] = {
    # Every conversation is learned as it was sent: nothing is filtered but what has no letters at all.
    "clean": {"plugins": ["unicode", "duplicate"]},
    "split": {"test_size": 50, "valid_size": 50, "largest_share": 0.1, "plugins": ["document", "near_duplicate"]},
    "compose": {"plugins": ["chat"]},
}
STATES = {"needs_recovery": "running"}
"""States of a job that are called otherwise there."""


class Files:
    """Uploaded files: a folder each, with `about.json` beside the file."""

    def __init__(self, home: Path):
        self.place = home / STATE_FOLDER / "files"

    def keep(self, folder: Path, file: Path, filename: str, purpose: str) -> dict[str, Any]:
        """Write down what was received into `folder`."""
        about = {"filename": filename, "stored": file.name, "purpose": purpose, "created_at": int(time.time())}
        write_json(folder / "about.json", about)
        return self.get(f"file-{folder.name}")

    def kept(self) -> set[Path]:
        """The files of all folders that were written down."""
        return {path for about in self.place.glob("*/about.json") for path in about.parent.iterdir()}

    def listing(self) -> list[dict[str, Any]]:
        """All files, newest first."""
        found = [self.get(f"file-{path.parent.name}") for path in self.place.glob("*/about.json")]
        return sorted(found, key=lambda one: (-one["created_at"], one["id"]))

    def get(self, ident: str) -> dict[str, Any]:
        """A file object. Raises NotFoundError."""
        about = read_json(self._folder(ident) / "about.json")
        if about is None:
            raise NotFoundError(f"there is no file '{ident[:60]}'", "Upload it first.")
        size = self.path(ident).stat().st_size
        return {
            "id": ident, "object": "file", "bytes": size, "created_at": about["created_at"], "filename": about["filename"],
            "purpose": about["purpose"], "status": "processed", "status_details": None, "expires_at": None,
        }  # fmt: skip

    def path(self, ident: str) -> Path:
        """Where the content lies. Raises NotFoundError."""
        folder = self._folder(ident)
        about = read_json(folder / "about.json")
        if about is None or not (folder / about["stored"]).is_file():
            raise NotFoundError(f"there is no file '{ident[:60]}'", "Upload it first.")
        return folder / str(about["stored"])

    def delete(self, ident: str) -> None:
        """Remove a file. Jobs have a copy of their own."""
        self.get(ident)
        shutil.rmtree(self._folder(ident))

    def _folder(self, ident: str) -> Path:
        if not re.fullmatch(r"file-[0-9a-f]{16}", ident):
            raise NotFoundError(f"there is no file '{ident[:60]}'", "Upload it first.")
        return self.place / ident.removeprefix("file-")


@dataclass(frozen=True)
class Tuning:
    """A fine-tuning job: the project that was made for it, and what was asked for."""

    project: str
    about: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.about["id"])


def find(home: Home) -> Iterator[Tuning]:
    """All fine-tuning jobs, newest first."""
    found = []
    for name in home.names():
        about = read_json(home.path / name / STATE_FOLDER / ABOUT)
        if about is not None:
            found.append(Tuning(name, about))
    yield from sorted(found, key=lambda one: (-one.about["created_at"], one.id))


def get(home: Home, ident: str) -> Tuning:
    """One fine-tuning job. Raises NotFoundError."""
    for one in find(home):
        if one.id == ident:
            return one
    raise NotFoundError(f"there is no fine-tuning job '{ident[:60]}'", "See: GET /v1/fine_tuning/jobs")


def make_project(home: Home, name: str, language: str, base: str) -> str:
    """A project for one fine-tuning job; returns its id."""
    short = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    folder = f"ft-{short}-{secrets.token_hex(3)}" if short else f"ft-{secrets.token_hex(6)}"
    pivot = "eng" if language != "eng" else "mul"
    project = Project.create(home.path / folder, language=language, pivot=pivot, base=base, name=name or folder)
    with project.file.open("a", encoding="utf-8") as file:
        file.write("\n" + to_toml(SETTINGS))
    (project.path / STATE_FOLDER).mkdir(exist_ok=True)
    return folder


def remember(home: Home, tuning: Tuning) -> None:
    """Write down what a job was asked for."""
    write_json(home.path / tuning.project / STATE_FOLDER / ABOUT, tuning.about)


def model_name(base: str, project: str, job: int) -> str:
    """The name under which programs ask for a trained model."""
    return f"ft:{Path(base).name}:{project}:{job}"


def parse_name(name: str) -> tuple[str, str]:
    """Project and training job of such a name; empty where it is none."""
    found = re.fullmatch(r"ft:[^:]*:([^:/]+):([1-9]\d{0,8})", name)
    return (found[1], found[2]) if found else ("", "")


def described(project: Project, tuning: Tuning) -> dict[str, Any]:
    """The job as OpenAI's clients read it."""
    about = tuning.about
    row = rows.get(project.db, about["job"])
    model = read_json(project.output(row.id) / "result.json") if row.state == "succeeded" else None
    trained = model["model"]["job"] if model else None
    made = read_json(project.output(trained) / "model.json") if trained else None
    error = {"code": row.error.get("type", "error"), "message": row.error.get("message", ""), "param": None}
    final = row.state in ("succeeded", "failed", "cancelled")
    return {
        "id": tuning.id, "object": "fine_tuning.job", "created_at": about["created_at"], "model": about["model"],
        "fine_tuned_model": model_name(about["model"], project.path.name, trained) if trained else None,
        "finished_at": int(row.finished) if final and row.finished else None, "status": STATES.get(row.state, row.state),
        "hyperparameters": about["hyperparameters"], "organization_id": "endonym", "result_files": [], "seed": about["seed"],
        "method": {"type": "supervised", "supervised": {"hyperparameters": about["hyperparameters"]}},
        "trained_tokens": made["learned_tokens"] if made else None, "training_file": about["training_file"],
        "validation_file": None, "integrations": [], "metadata": about["metadata"], "estimated_finish": None,
        "error": error if row.error and row.state == "failed" else None,
    }  # fmt: skip


def events(project: Project, before: int, limit: int) -> list[dict[str, Any]]:
    """What happened in the job and in those it started, newest first, from below event `before` on."""
    kinds = ("step", "warning", "state", "metric", "log")
    found = project.db.execute(
        f"SELECT * FROM events WHERE kind IN ({','.join('?' * len(kinds))}) AND id < ? ORDER BY id DESC LIMIT ?",
        (*kinds, before, limit),
    ).fetchall()
    return [_event(log.Event.from_row(row)) for row in found]


def checkpoints(project: Project, tuning: Tuning) -> list[dict[str, Any]]:
    """The checkpoint that can be asked: the best one, which is the model. The others exist to resume, and go when the job ends."""
    job = described(project, tuning)
    name = job["fine_tuned_model"]
    if name is None:
        return []
    row = rows.get(project.db, int(parse_name(name)[1]))
    made = read_json(project.output(row.id) / "model.json") or {}
    metrics = {
        "step": made.get("best_step"),
        "valid_loss": made.get("best_valid_loss"),
        "train_loss": made.get("train_loss"),
    }
    return [{
        "id": f"ftckpt-{tuning.id.removeprefix('ftjob-')}-{metrics['step']}", "object": "fine_tuning.job.checkpoint",
        "created_at": int(row.finished or 0), "fine_tuned_model_checkpoint": name, "fine_tuning_job_id": tuning.id,
        "metrics": metrics, "step_number": metrics["step"],
    }]  # fmt: skip


def _event(event: log.Event) -> dict[str, Any]:
    data: Mapping[str, Any] = event.data
    level = "error" if data.get("state") == "failed" else "warn" if event.kind == "warning" else "info"
    if event.kind == "metric":
        message, shown = (
            f"step {data['step']}: {data['name']} {data['value']:.4g}",
            {"step": data["step"], data["name"]: data["value"]},
        )
    else:
        said = {
            "step": f"{data.get('name', '')}: {data.get('sentence') or data.get('state', '')}",
            "state": f"job {event.job} is {data.get('state', '')}",
        }
        message, shown = said.get(event.kind, str(data.get("text", ""))), dict(data)
    return {
        "id": f"ftevent-{event.id}", "object": "fine_tuning.job.event", "created_at": int(event.time), "level": level,
        "message": message, "type": "metrics" if event.kind == "metric" else "message", "data": shown,
    }  # fmt: skip
