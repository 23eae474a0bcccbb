"""Turn records into chat examples, with hints, and keep the index that answers for them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.augmented import beside, fits
from endonym.data.dataset import Dataset, DatasetWriter
from endonym.data.rights import with_rights
from endonym.errors import ConfigError
from endonym.types import Chat, Drop, Record

if TYPE_CHECKING:
    from endonym.jobs.job import Job

KIND = "task"
CHOICE = "many"
DEFAULT = ["translate", "define", "lookup", "complete", "chat"]
INPUTS = {"dataset": "split", "augmented": "augmented?"}
PRODUCES = "chats"


class Config(BaseModel):
    """Settings of composing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    most: int = Field(0, ge=0, description="Use at most this many training records, chosen at random; 0 is all.")
    augmented_weight: float = Field(
        1.0,
        ge=0,
        description="How often a row of a made record is seen per epoch, beside 1 for a real one; 0 leaves them out.",
    )


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
    made = _made(cfg, job, dataset, train)
    valid = list(dataset.records("valid"))
    counts: Counter[str] = Counter()
    parents = [dataset.hash, *([Dataset.of(job, "augmented").hash] if made else [])]
    with DatasetWriter(job.output, parents=parents) as out:
        out.keep_empty("train")
        out.keep_empty("valid")
        done, total = 0, len(train) + len(made) + len(valid)
        for split, records in (("train", [*train, *made]), ("valid", valid)):
            context.training = split == "train"
            for record in records:
                out.read(record)
                found = [(task, chat) for task in job.plugins for chat in context.compose(record, task)]
                for task, chat in found:
                    out.keep(with_rights(_marked(chat, record, cfg.augmented_weight), record), split)
                    counts[f"{split} {'made ' if record.meta.get('augmented') else ''}{task}"] += 1
                if not found:
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


def _made(cfg: Config, job: Job, dataset: Dataset, train: list[Record]) -> list[Record]:
    """Made records of this very split, no more than their share beside the training records that are used."""
    if "augmented" not in job.inputs or not cfg.augmented_weight:
        return []
    augmented = Dataset.of(job, "augmented")
    if not fits(augmented, dataset):
        job.log("the made records are of another split and are not used; make them again with: endonym augment")
        return []
    made = beside(augmented, train, job.project.seed)
    job.log(f"{len(made)} made records of {', '.join(augmented.manifest['augmenters']) or 'no augmenter'} are used")
    return made


def _marked(chat: Chat, record: Record, weight: float) -> Chat:
    """The chat of a made record says so and has its weight; any other is as it is."""
    name = record.meta.get("augmented")
    return replace(chat, weight=chat.weight * weight, meta={**chat.meta, "augmented": name}) if name else chat


def _sample(records: list, most: int, seed: int) -> list:
    import random

    return records if len(records) <= most else random.Random(seed).sample(records, most)
