"""Look at the base model's tokenizer, extend it, train a new one, and measure which of these pays."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from endonym.data.dataset import Dataset
from endonym.jobs.job import Job

KIND = "action"
CHOICE = "one"
DEFAULT = "report"
INPUTS = {"dataset": "split"}
PRODUCES = "tokenizer"


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def run(cfg: Config, job: Job) -> None:
    """Hand the sealed-off dataset to the chosen action, which writes its artifact into the job's output."""
    module, settings = next(iter(job.plugins.values()))
    module.run(settings, Dataset.of(job, "dataset"), job)
