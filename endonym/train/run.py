"""Train a model on the chats, with a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from endonym.jobs.job import Job

KIND = "recipe"
CHOICE = "one"
DEFAULT = "lora"
INPUTS = {"dataset": "chats", "split": "split"}
PRODUCES = "model"


class Config(BaseModel):
    """Training has no settings beside those of its recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def run(cfg: Config, job: Job) -> None:
    """Run the chosen recipe on the `chats` dataset; it writes the model into the job's output.

    Raises LeakError when anything held out stands in what would be trained on.
    """
    from endonym.data import leaks
    from endonym.data.dataset import Dataset

    data = Dataset.of(job, "dataset")
    leaks.check(str(job.inputs["split"]), training=data.records("train"))
    job.log("nothing held out stands in the training rows")
    ((module, settings),) = job.plugins.values()
    module.train(settings, data, job)
