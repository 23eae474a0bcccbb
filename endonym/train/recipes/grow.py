"""Make a trained model deeper and wider, with a larger vocabulary if wanted, and train all its weights on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from endonym.train.recipes import full
from endonym.train.settings import FitConfig

if TYPE_CHECKING:
    from endonym.data.dataset import Dataset
    from endonym.jobs.job import Job
    from endonym.models.load import Loaded
    from endonym.project import Project
    from endonym.train.recipe import Build

REQUIRES = {"torch": "train", "transformers": "train"}
READS = ("model", "tokenizer")


class Config(FitConfig):
    """Settings of growing."""

    learning_rate: float = Field(2e-4, gt=0, description="Highest learning rate.")
    model: str = Field("", description="Run or folder of the trained model to grow; else the base.")
    operator: str = Field(
        "lossless", pattern="^(lossless|stack)$", description="How depth is added: lossless, or stack to repeat layers."
    )
    layers: int = Field(0, ge=0, description="Layers of the grown model; 0 is a third more than there are.")
    width: int = Field(0, ge=0, description="Width of the grown model (hidden size); 0 leaves it as it is.")
    inner: int = Field(0, ge=0, description="Width inside the feed-forward layers; 0 grows it with the width.")
    heads: int = Field(0, ge=0, description="Attention heads; 0 grows them with the width.")
    kv_heads: int = Field(0, ge=0, description="Heads for keys and values; 0 grows them with the heads.")
    tokenizer: str = Field("", description="Folder of the tokenizer to grow the vocabulary to; else it stays.")
    compare: bool = Field(
        True, description="Also train the small model and one from scratch with the same compute, and compare."
    )
    scratch_learning_rate: float = Field(1e-3, gt=0, description="Highest learning rate of the one from scratch.")


def train(cfg: Config, data: Dataset, job: Job) -> Path:
    """Grow the model, train it on the `train` chats of `data`, write it to `output/weights`, and compare it when asked.

    Whatever the comparison says, the grown model is what the job makes. Raises JobError when a lossless growth is not.
    """
    import torch

    from endonym.train import recipe
    from endonym.train.equal_compute import compare
    from endonym.train.finish import save_weights
    from endonym.train.growth import grown_network, load_small, with_tokenizer, without_model

    torch.manual_seed(cfg.seed)
    small = without_model(load_small(cfg, job))
    tokenized = with_tokenizer(cfg, small, job.project)

    def build(loaded: Loaded) -> Any:
        return network(cfg)(replace(loaded, model=grown_network(cfg, loaded, data, job)))

    recipe.run(
        "grow", cfg, data, job, tokenized, build,
        lambda model, out: save_weights(model, tokenized.tokenizer, out / "weights"),
    )  # fmt: skip
    if cfg.compare and not job.stopped_early:
        compare(cfg, small, tokenized, data, job)
    return job.output


def outline(cfg: Config, project: Project, inputs: Mapping[str, Path]) -> Loaded:
    """The grown model without numbers."""
    from endonym.train import growth

    return growth.outline(cfg, project)


def network(cfg: Config) -> Build:
    """What sets the grown model up for training all its weights."""
    return full.whole(cfg)


def all_steps(cfg: Config) -> int:
    """Its own steps, and as much computing for each of the two models it is compared with."""
    return (3 if cfg.compare else 1) * cfg.last_step
