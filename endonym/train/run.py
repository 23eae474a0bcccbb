"""Train a model on the chats, with a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ConfigDict, Field

from endonym.store.tokens import Needs

if TYPE_CHECKING:
    from endonym.jobs.job import Job
    from endonym.jobs.stage import Resolved
    from endonym.project import Project

KIND = "recipe"
CHOICE = "one"
DEFAULT = "lora"
INPUTS = {"dataset": "chats", "split": "split"}
PRODUCES = "model"
LITTLE = 0.25
"""Share of the machine's memory below which nobody minds a need that is told too high."""


class Config(BaseModel):
    """Settings of training beside those of its recipe: what it begins with, and who is told how it goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str = Field(
        "",
        description="Base to begin with instead of the project's: an alias, a folder, or a run of this project by its number or name.",
    )
    report_to: list[str] = Field([], description="Experiment trackers that follow the run, such as tensorboard.")
    report_patience: int = Field(
        60,
        ge=1,
        description="Seconds after which a tracker that takes no event is given up; the run never waits for it.",
    )
    trackers: dict[str, dict[str, Any]] = Field({}, description="Settings of each tracker by its name.")


def base(cfg: Config, project: Project) -> str:
    """The base that this job asks for, empty for the project's; raises UsageError, before a job is made, for what is none."""
    from endonym.models.bases import known_base

    return known_base(cfg.base, project) if cfg.base else ""


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
    with (
        _computing(settings) as settings,
        tracked(cfg.report_to, cfg.trackers, cfg.report_patience, job),
        together(module, settings, job),
    ):
        module.train(settings, data, job)


@contextmanager
def _computing(settings: Any) -> Iterator[Any]:
    """On the device of a recipe's settings, its settings with the number format of that device. Raises ConfigError where it is not there."""
    from endonym.models.load import device, on_device, training_format
    from endonym.train.settings import FitConfig

    if not isinstance(settings, FitConfig):
        yield settings
        return
    with on_device(settings.device):
        yield settings.model_copy(update={"dtype": training_format(settings.dtype, device())})


def needs(resolved: Resolved, inputs: Mapping[str, Path | list[Path]], project: Project) -> Needs:
    """What the run takes of the machine: told from the files of the base model where that is little of it, else worked out."""
    from endonym.models.needs import TOKENS_AT_ONCE, to_train
    from endonym.store.tokens import machine
    from endonym.train.settings import KEEP, FitConfig

    ((name, (module, settings)),) = resolved.plugins.items()
    if not isinstance(settings, FitConfig):
        return to_train(project.base, TOKENS_AT_ONCE, 0, 1)
    rank = int(getattr(settings, "rank", 0))
    rough = to_train(project.base, settings.batch_tokens, rank, KEEP + 1, settings.devices)
    if settings.device == "cpu":
        rough = replace(rough, gpus=0)
    if rough.memory_bytes < machine().memory_bytes * LITTLE or not hasattr(module, "network"):
        return rough
    from endonym.data.dataset import Dataset
    from endonym.train.forecast import planned

    data = Dataset(cast(Path, inputs["dataset"]), "train")
    with _computing(settings) as own:
        found, _ = planned(name, module, own, data, project, cast(Mapping[str, Path], inputs))
    disk = found.checkpoint_bytes + found.model_bytes
    return Needs(rough.memory_bytes, disk, rough.gpus) if rough.gpus else Needs(found.memory.total, disk)


def foretell(
    plugins: Mapping[str, tuple[ModuleType, Any]], project: Project, inputs: Mapping[str, int]
) -> dict[str, Any]:
    """What a run would need, told before it starts: memory and disk in bytes, seconds, and whether that fits (None: not known)."""
    from endonym.data.dataset import Dataset
    from endonym.train.forecast import planned

    ((name, (module, cfg)),) = plugins.items()
    folders = cast(Mapping[str, Path], project.folders(inputs))
    with _computing(cfg) as own:
        asked, lighter = planned(name, module, own, Dataset(folders["dataset"], "train"), project, folders)
    return {
        "device": asked.device, "memory_bytes": asked.memory.total, "free_bytes": asked.free_bytes, "fits": asked.fits,
        "lighter": [change for change, _ in lighter], "seconds": round(asked.seconds, 1), "steps": asked.steps,
        "disk_bytes": asked.checkpoint_bytes + asked.model_bytes, "tokens_per_step": round(asked.tokens_per_step, 1),
    }  # fmt: skip


def recover(error: BaseException, folder: Path, plugins: Mapping[str, tuple[ModuleType, Any]]) -> str:
    """Make the run in `folder` lighter after it ran out of memory; returns what was changed, `""` when nothing helps."""
    from endonym.train import recovery

    ((_, settings),) = plugins.values()
    return recovery.lighten(folder, settings) if recovery.is_out_of_memory(error) else ""
