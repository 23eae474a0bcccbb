"""What the nine steps share: settings, the checklist, the jobs they start, and what one step leaves for the next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from endonym.errors import EndonymError
from endonym.jobs.job import Job
from endonym.store import jobs as rows
from endonym.teach.checklist import Checklist
from endonym.teach.children import run_child
from endonym.teach.settings import Config


class Lesson:
    """A training job while it runs."""

    def __init__(self, cfg: Config, job: Job):
        self.cfg, self.job = cfg, job
        self.project = job.project
        self.list = Checklist(job)
        self.made: dict[str, int] = self.list.kept.setdefault("made", {})
        """Job numbers of what was made, by a short name: that of its verb (`split`, `compose`), or `model`, `before`, `before_language`, `scores`, `export_merged` ..."""
        self.notes: list[str] = self.list.kept.setdefault("notes", [])
        """What could not be honoured."""

    def child(
        self,
        n: int,
        name: str,
        verb: str,
        plugin: str = "",
        settings: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
    ) -> rows.JobRow:
        """Run a verb as a job of step `n` and remember it as `name`."""
        row = run_child(
            self.job, verb, plugin, settings, inputs,
            begun=lambda number: self.list.working(n, number), told=lambda text: self.list.working(n, recovery=text),
        )  # fmt: skip
        self.made[name] = row.id
        return row

    def child_or_note(
        self, n: int, name: str, what: str, verb: str, plugin: str = "", **more: Any
    ) -> rows.JobRow | None:
        """A child that the job can do without: when it fails, None, and a note that there is no `what`, and why."""
        try:
            return self.child(n, name, verb, plugin, **more)
        except EndonymError as error:
            self.made.pop(name, None)
            self.note(f"there is no {what}: {error.message.splitlines()[0]}")
            return None

    def output(self, name: str) -> Path:
        """Folder of what a step has made."""
        return self.project.output(self.made[name])

    def note(self, text: str) -> None:
        """Tell of something that could not be honoured."""
        if text not in self.notes:
            self.notes.append(text)
            self.job.event("warning", text=text)

    def grading(self, system: str, sets: list[str]) -> dict[str, Any]:
        """The settings of asking, the same before and after."""
        cfg = self.cfg
        settings: dict[str, Any] = {
            "system": system, "sets": sets, "files": cfg.questions, "language_questions": cfg.language_questions,
            "max_new_tokens": cfg.max_tokens, "temperature": cfg.temperature, "top_p": cfg.top_p, "seed": cfg.seed,
        }  # fmt: skip
        if cfg.judge_url:
            settings["plugins"] = ["judge", "reference", "coherence"]
            settings["judge"] = {"url": cfg.judge_url, "model": cfg.judge_model, "ratings": cfg.judge_ratings}
        return settings


def means(found: Mapping[str, Any]) -> dict[str, Any]:
    """The headline numbers of a summary of grades."""
    return {
        "questions": found["questions"],
        **{name: row["value"] for name, row in found["criteria"].items()},
        "total": found["total"]["value"],
        "seconds_per_answer": found["speed"]["seconds_per_answer"],
    }
