"""Teach the base model in nine visible steps: measure, refine, prepare, configure, train, verify, validate, test, and measure again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.models.bases import known_base
from endonym.store.files import file_hash, hash_folder, write_json
from endonym.store.tokens import Needs
from endonym.teach.settings import Config

if TYPE_CHECKING:
    from endonym.jobs.job import Job
    from endonym.jobs.stage import Resolved
    from endonym.project import Project
    from endonym.teach.lesson import Lesson

CHOICE = "none"
INPUTS: dict[str, str] = {}
PRODUCES = "lesson"

__all__ = ["Config", "base", "depends", "needs", "run"]


def base(cfg: Config, project: Project) -> str:
    """The base that this job asks for, empty for the project's; raises what `known_base` does, before a job is made."""
    return known_base(cfg.base_model, project) if cfg.base_model else ""


def needs(resolved: Resolved, inputs: Any, project: Project) -> Needs:
    """Nothing: it waits for jobs that need something, and must not keep it from them."""
    return Needs(0)


def depends(cfg: Config, project: Project) -> Any:
    """All that decides what the steps do: the project's settings, its prompts and plugins, and the files of questions and of people's ratings."""
    tables = {name: table for name, table in project.settings.items() if name not in ("project", "sources", "serve")}
    files = [project.path / Path(name).expanduser() for name in (*cfg.questions, *filter(None, [cfg.judge_ratings]))]
    own = [hash_folder(folder) for name in ("prompts", "plugins") if (folder := project.path / name).is_dir()]
    return {"settings": tables, "questions": [file_hash(p) if p.is_file() else None for p in files], "own": own}


def run(cfg: Config, job: Job) -> None:
    """Do the steps that are not done yet and write `result.json`; a step that fails ends the job with its error."""
    from endonym.teach import after, before
    from endonym.teach.checklist import Stopped
    from endonym.teach.lesson import Lesson

    lesson = Lesson(cfg, job)
    work = (
        before.capture, before.refine, before.prepare, before.configure, after.train, after.save, after.validate,
        after.test, after.capture,
    )  # fmt: skip
    try:
        for n, step in enumerate(work):
            lesson.list.run(n, lambda step=step: step(lesson))  # type: ignore[misc]
            job.tick(n + 1, len(work), "steps")
    except Stopped:
        return
    found = result(lesson)
    write_json(job.output / "result.json", found)
    job.summary(**in_short(found))


def result(lesson: Lesson) -> dict[str, Any]:
    """What the page of results shows."""
    from endonym.store import jobs as rows
    from endonym.teach.after import scores_of

    made, kept = lesson.made, lesson.list.kept
    return {
        "steps": lesson.list.as_json(),
        "settings": lesson.cfg.model_dump(mode="json"),
        "recipe": {"name": kept["recipe"], "settings": kept["settings"], "forecast": kept["forecast"]},
        "notes": lesson.notes,
        "grades": kept["grades"],
        "scores": scores_of(lesson)["rows"] if "scores" in made else [],
        "speed": {when: kept["grades"][when]["speed"] for when in ("before", "after")},
        "experience": kept["experience"],
        "model": {"job": made["model"], "hash": rows.artifact_hash(lesson.project.db, made["model"])},
        "exports": kept.get("exports", []),
        "report": made.get("report"),
        "jobs": made,
    }


def in_short(found: dict[str, Any]) -> dict[str, Any]:
    """What the terminal shows at the end: the steps with their seconds and the improvements; experience stands apart."""
    steps = [[s["n"], s["name"], s["state"], f"{s['seconds']:.1f} s"] for s in found["steps"]]
    rows = [_improvement(name, row) for name, row in found["grades"]["improvements"].items() if row["n"]]
    earned = found["experience"]
    tables = [
        {"title": "Steps", "header": ["", "step", "state", "took"], "rows": steps},
        {
            "title": "Before and after, with 95 % intervals",
            "header": ["", "before", "after", "change", "n"],
            "rows": rows,
        },
    ]
    total = found["grades"]["improvements"]["total"]
    return {
        "tables": tables, "model": found["model"]["job"], "total_before": total["before"], "total_after": total["after"],
        "notes": len(found["notes"]), "experience": earned["points"], "level": earned["name"],
    }  # fmt: skip


def _improvement(name: str, row: dict[str, Any]) -> list[str]:
    unit = " %" if row["unit"] == "percent" else ""
    value = row["percent"] if unit else row["points"]
    change = f"{value:+.1f}{unit} ({row['low']:+.1f} to {row['high']:+.1f})"
    return [name, f"{row['before']:.2f}", f"{row['after']:.2f}", change, str(row["n"])]
