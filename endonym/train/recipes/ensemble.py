"""Train several new models that differ in their seed, measure them together, and train one more that learns from all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from endonym.train.recipes import bytelatent, hierarchical, scratch
from endonym.train.settings import ByteConfig, FitConfig

if TYPE_CHECKING:
    from endonym.data.dataset import Dataset
    from endonym.jobs.job import Job
    from endonym.models.load import Loaded
    from endonym.project import Project
    from endonym.train.batches import Loss
    from endonym.train.recipe import Build, Prepared

REQUIRES = {"torch": "train", "transformers": "train"}
RECIPES: dict[str, Any] = {"hierarchical": hierarchical, "bytelatent": bytelatent, "scratch": scratch}


class Config(FitConfig):
    """Settings of an ensemble; what is not set here is as the members' recipe has it."""

    recipe: Literal["hierarchical", "bytelatent", "scratch"] = Field(
        "hierarchical", description="Recipe of the members and of the model that learns from them."
    )
    settings: dict[str, Any] = Field({}, description="Settings that this recipe has besides, such as width=256.")
    members: int = Field(3, ge=2, le=16, description="Models that are trained first, with the seeds from the seed on.")
    teaching: float = Field(
        0.7,
        gt=0,
        le=1,
        description="Share of the last model's targets that are the members' probabilities, not the text.",
    )

    @model_validator(mode="after")
    def _known(self) -> Config:
        if self.member().search_steps:
            raise ValueError(
                "an ensemble searches for no settings: search with the recipe itself, then set what it chose"
            )
        return self

    def member(self, number: int = 0) -> Any:
        """The settings of member `number`, in those of its recipe; the last model's number is that of all members."""
        set_here = {n: getattr(self, n) for n in self.model_fields_set & set(FitConfig.model_fields)}
        return RECIPES[self.recipe].Config(**{**set_here, **self.settings, "seed": self.seed + number})


def train(cfg: Config, data: Dataset, job: Job) -> Path:
    """Train the members into `output/members/N`, then what learns from them into `output/weights`; `model.json` has the losses of all."""
    import torch

    from endonym.train import distil, recipe
    from endonym.train.finish import amend, save_weights
    from endonym.train.rows import chats_of, prepare
    from endonym.train.step import mean_loss

    own = cfg.member(cfg.members)
    torch.manual_seed(own.seed)
    empty = _empty(own, job.project, job.output / "weights")
    prepared = prepare(chats_of(data, "train"), chats_of(data, "valid"), empty.renderer, own, job)
    members: list[Any] = []
    for number in range(cfg.members):
        member = _member(cfg, number, empty, prepared, job)
        if member is None:
            return job.output
        members.append(member)

    def measured(loss: Loss, model: Any) -> float:
        return mean_loss(model, prepared[1], loss, own.batch_tokens)

    from endonym.train.losses import next_token

    alone = [measured(next_token, member) for member in members]
    both = measured(distil.together(members), members[0])
    said = ", ".join(f"{value:.4f}" for value in alone)
    job.log(f"validation loss of the members {said}; of the mean of their probabilities {both:.4f}")
    chunked = _watched(own, job, distil.distilled(members, cfg.teaching))
    out = recipe.run(
        "ensemble", own, data, job, empty, RECIPES[cfg.recipe].network(own),
        lambda model, folder: save_weights(model, empty.tokenizer, folder / "weights"),
        prepared=prepared, course=lambda network: _course(own), first=_first(own, prepared, job),
        loss=chunked.loss, watch=chunked.watch,
    )  # fmt: skip
    if (job.output / "model.json").is_file():
        of = {"recipe": cfg.recipe, "teaching": cfg.teaching, "members_valid_loss": alone, "valid_loss": both}
        amend(job, {"ensemble": of})
    return out


def _member(cfg: Config, number: int, empty: Loaded, prepared: Prepared, job: Job) -> Any:
    """A member that is done or trained now, with frozen weights; None when the user asked to stop. A done one is not trained again."""
    import shutil

    from endonym.train.finish import save_weights
    from endonym.train.fit import Fitted, fit
    from endonym.train.network import ready, trainable

    own, part = cfg.member(number), f"member-{number + 1}"
    done = job.output / "members" / str(number + 1)
    model = RECIPES[cfg.recipe].network(own)(empty)
    if done.is_dir():
        model = trainable(type(model).from_pretrained(done).float().to(empty.device), own, empty)
    ready(empty, model)
    if not done.is_dir():
        watched = _watched(own, job)

        def train(settings: FitConfig, name: str = "") -> Fitted:
            whole = f"{part}-{name}" if name else part
            course = _course(settings) if not name else _course(FitConfig())
            return fit(model, prepared[0], prepared[1], watched.loss, settings, job, watched.watch, whole, course)

        before = _first(own, prepared, job)(model, train)
        if (before is not None and before.cancelled) or train(own).cancelled:
            return None
        unfinished = done.with_name(f".{number + 1}")
        shutil.rmtree(unfinished, ignore_errors=True)
        save_weights(model, empty.tokenizer, unfinished)
        unfinished.rename(done)
        for folder in (job.folder / "checkpoints").glob(f"{part}*"):
            shutil.rmtree(folder)
    return model.requires_grad_(False).eval()


def _first(own: Any, prepared: Prepared, job: Job) -> Any:
    """What is trained before the rest: the patcher, where the recipe has one."""

    def first(model: Any, train: Any) -> Any:
        if not getattr(own, "first_steps", 0):
            return None
        return bytelatent.learn_patches(model, train, own, prepared, job)

    return first


def _watched(own: Any, job: Job, inner: Loss | None = None) -> Any:
    """The loss of a network of these settings, on top of `inner`, with a watch over chunks where it has such."""
    from endonym.train.chunked import Chunked
    from endonym.train.losses import next_token

    length = getattr(own, "chunk_bytes", getattr(own, "patch_bytes", 0.0))
    return Chunked(length, getattr(own, "ratio_weight", 0.0), own.last_step, job, inner or next_token)


def _course(own: FitConfig) -> Any:
    from endonym.train.fit import RANDOM
    from endonym.train.noise import course

    return course(own) if isinstance(own, ByteConfig) else RANDOM


def _empty(own: FitConfig, project: Project, folder: Path) -> Loaded:
    """The tokenizer alone: bytes, or that of the project's base."""
    from endonym.models.load import load_tokenizer, on_bytes

    return on_bytes(folder) if isinstance(own, ByteConfig) else load_tokenizer(project.base)


def network(cfg: Config) -> Build:
    """What makes a network of the members' kind."""
    build: Build = RECIPES[cfg.recipe].network(cfg.member())
    return build


def outline(cfg: Config, project: Project, inputs: Mapping[str, Path]) -> Loaded:
    """What the networks begin with."""
    return _empty(cfg.member(), project, project.path)


def all_steps(cfg: Config) -> int:
    """Steps of the members and of what learns from them, the patchers' included."""
    own = cfg.member()
    return int((cfg.members + 1) * (own.last_step + getattr(own, "first_steps", 0)))
