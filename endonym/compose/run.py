"""Turn records into chat examples, with hints, and keep the index that answers for them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.dataset import Dataset, DatasetWriter
from endonym.data.rights import with_rights
from endonym.errors import ConfigError
from endonym.types import Drop

if TYPE_CHECKING:
    from endonym.jobs.job import Job

KIND = "task"
CHOICE = "many"
DEFAULT = ["translate", "define", "lookup", "complete", "chat"]
INPUTS = {"dataset": "split"}
PRODUCES = "chats"


class Config(BaseModel):
    """Settings of composing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    most: int = Field(0, ge=0, description="Use at most this many training records, chosen at random; 0 is all.")


def run(cfg: Config, job: Job) -> None:
    """Write the chats of train and valid; hints come from an index over train alone, and never from the record itself."""
    from endonym.retrieve import hints
    from endonym.retrieve.context import Context, read_prompts

    dataset = Dataset.of(job, "dataset")
    train = list(dataset.records("train"))
    hints.build(train, job.output / "index")
    prompts = {name: read_prompts(name, module, job.project.path) for name, (module, _) in job.plugins.items()}
    context = Context(job.output, job.project.language, job.project.pivot, job.plugins, prompts, training=True)
    context.save()
    if cfg.most:
        train = _sample(train, cfg.most, job.project.seed)
    valid = list(dataset.records("valid"))
    counts: Counter[str] = Counter()
    with DatasetWriter(job.output, parents=[dataset.hash]) as out:
        out.keep_empty("train")
        out.keep_empty("valid")
        done, total = 0, len(train) + len(valid)
        for split, records in (("train", train), ("valid", valid)):
            context.training = split == "train"
            for record in records:
                out.read(record)
                made = 0
                for task in job.plugins:
                    for chat in context.compose(record, task):
                        out.keep(with_rights(chat, record), split)
                        counts[f"{split} {task}"] += 1
                        made += 1
                if not made:
                    out.drop(Drop(record, "compose.no_task", "none of the chosen tasks can use it"))
                done += 1
                job.tick(done, total, "records")
            if job.cancelled():
                return
    if not any(key.startswith("train") for key in counts):
        raise ConfigError(
            "no training example came out of the data",
            f"The tasks {', '.join(job.plugins)} found nothing in {job.project.language}; check the languages in endonym.toml.",
        )
    job.summary(**{key.replace(" ", "_"): n for key, n in sorted(counts.items())})


def _sample(records: list, most: int, seed: int) -> list:
    import random

    return records if len(records) <= most else random.Random(seed).sample(records, most)
