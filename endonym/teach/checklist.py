"""The nine steps as the user sees them: pending, active, completed, failed or skipped, each with a sentence and evidence.

What is completed is kept in the run folder, so that a job that was paused, killed or failed does not do it again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from endonym.errors import EndonymError
from endonym.jobs.job import Job
from endonym.store.files import write_json
from endonym.teach.told import Told

NAMES = (
    "Capture before metrics", "Load and refine data", "Prepare the model", "Configure training", "Train",
    "Save and verify", "Validate", "Test performance", "Capture after metrics",
)  # fmt: skip
FILE = "steps.json"


@dataclass
class Step:
    """One step as its newest event tells it."""

    n: int
    name: str
    state: str = "pending"
    sentence: str = ""
    said: list[Any] = field(default_factory=list)
    """The sentence as parts, `[key, values]` each, where it can be said in other languages (teach/told.py)."""
    evidence: dict[str, Any] = field(default_factory=dict)
    job: int | None = None
    """The job it started last, where it started one."""
    seconds: float = 0.0

    def say(self, sentence: str) -> None:
        """Take a sentence, and its parts where it has some."""
        self.sentence, self.said = str(sentence), [list(part) for part in getattr(sentence, "parts", ())]


class Skip(Exception):  # noqa: N818
    """A step has nothing to do; the words say why."""


class Stopped(Exception):  # noqa: N818
    """The user asked to pause or to end the job."""


class Checklist:
    """Runs steps, tells of them as events, and keeps what they made."""

    def __init__(self, job: Job):
        self.job, self.path = job, job.folder / FILE
        self.steps = [Step(n, name) for n, name in enumerate(NAMES)]
        self.kept: dict[str, Any] = {}
        """What later steps need of earlier ones, as JSON."""
        self._read(self.path)
        for step in self.steps:
            self._tell(step)

    def run(self, n: int, work: Callable[[], tuple[str, dict[str, Any]]]) -> None:
        """Do step `n` unless it is done; `work` returns its sentence and evidence. Raises what it raises, told as a failure."""
        step = self.steps[n]
        if step.state in ("completed", "skipped"):
            return
        if self.job.cancelled():
            raise Stopped
        began, before = time.monotonic(), step.seconds
        step.state, step.evidence = "active", {}
        step.say("")
        self._tell(step)
        try:
            sentence, step.evidence = work()
            step.state = "completed"
            step.say(sentence)
        except Skip as skipped:
            step.state = "skipped"
            step.say(skipped.args[0])
        except Stopped:
            step.state = "pending"
            step.say(Told.of("interrupted"))
            raise
        except BaseException as error:
            step.state = "failed"
            step.say(_first_line(error))
            step.evidence = {"error": str(getattr(error, "message", error)), "hint": str(getattr(error, "hint", ""))}
            raise
        finally:
            step.seconds = round(before + time.monotonic() - began, 2)
            self._tell(step)
            self._write()

    def working(self, n: int, job: int | None = None, recovery: str = "") -> None:
        """Tell what an active step is doing: the job it started, or what it, or that job, recovered from."""
        step = self.steps[n]
        if job is not None:
            step.job = job
        if recovery:
            step.say(recovery)
            step.evidence = {**step.evidence, "recovery": [*step.evidence.get("recovery", ()), recovery]}
        self._tell(step)

    def as_json(self) -> list[dict[str, Any]]:
        return [asdict(step) for step in self.steps]

    def _tell(self, step: Step) -> None:
        self.job.event("step", **asdict(step))

    def _write(self) -> None:
        write_json(self.path, {"steps": self.as_json(), "kept": self.kept})

    def _read(self, path: Path) -> None:
        if not path.is_file():
            return
        data = json.loads(path.read_text(encoding="utf-8"))
        self.kept = data["kept"]
        for step, row in zip(self.steps, data["steps"], strict=True):
            if row["state"] in ("completed", "skipped"):
                self.steps[step.n] = Step(**row)
            else:
                step.seconds = float(row["seconds"])


def _first_line(error: BaseException) -> str:
    text = error.message if isinstance(error, EndonymError) else f"{type(error).__name__}: {error}"
    return text.splitlines()[0] if text else type(error).__name__
