"""Train a model on the chats, with a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from endonym.jobs.job import Job

KIND = "recipe"
CHOICE = "one"
DEFAULT = "lora"
INPUTS = {"dataset": "chats", "split": "split"}
PRODUCES = "model"


class Config(BaseModel):
    """Settings of training beside those of its recipe: who is told how it goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    report_to: list[str] = Field([], description="Experiment trackers that follow the run, such as tensorboard.")
    report_patience: int = Field(
        60,
        ge=1,
        description="Seconds after which a tracker that takes no event is given up; the run never waits for it.",
    )
    trackers: dict[str, dict[str, Any]] = Field({}, description="Settings of each tracker by its name.")


def run(cfg: Config, job: Job) -> None:
    """Run the chosen recipe on the `chats` dataset; it writes the model into the job's output.

    Raises LeakError when anything held out stands in what would be trained on.
    """
    from endonym.data import leaks
    from endonym.data.dataset import Dataset
    from endonym.train.ranks import together
    from endonym.train.tracking import tracked

    data = Dataset.of(job, "dataset")
    leaks.check(str(job.inputs["split"]), training=data.records("train"))
    job.log("nothing held out stands in the training rows")
    ((module, settings),) = job.plugins.values()
    with tracked(cfg.report_to, cfg.trackers, cfg.report_patience, job), together(module, settings, job):
        module.train(settings, data, job)


def recover(error: BaseException, folder: Path, plugins: Mapping[str, tuple[ModuleType, Any]]) -> str:
    """Make the run in `folder` lighter after it ran out of memory; returns what was changed, `""` when nothing helps."""
    from endonym.train import recovery

    ((_, settings),) = plugins.values()
    return recovery.lighten(folder, settings) if recovery.is_out_of_memory(error) else ""
