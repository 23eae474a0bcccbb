"""Look at the base model's tokenizer, extend it, train a new one, and measure which of these pays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from endonym.data.dataset import Dataset
from endonym.jobs.job import Job

if TYPE_CHECKING:
    from endonym.jobs.stage import Resolved
    from endonym.project import Project
    from endonym.store.tokens import Needs

KIND = "action"
CHOICE = "one"
DEFAULT = "report"
INPUTS = {"dataset": "split"}
PRODUCES = "tokenizer"


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def needs(resolved: Resolved, inputs: Any, project: Project) -> Needs:
    """What this takes of the machine: what the action says, where it computes with the base."""
    from endonym.models.needs import by_plugins

    return by_plugins(project.base, resolved.plugins)


def run(cfg: Config, job: Job) -> None:
    """Hand the sealed-off dataset to the chosen action, which writes its artifact into the job's output."""
    module, settings = next(iter(job.plugins.values()))
    module.run(settings, Dataset.of(job, "dataset"), job)
