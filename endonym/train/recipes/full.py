"""Train all weights of a model: learns most, and needs the most memory and disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from endonym.train.settings import FitConfig

if TYPE_CHECKING:
    from endonym.data.dataset import Dataset
    from endonym.jobs.job import Job
    from endonym.models.load import Loaded
    from endonym.train.recipe import Build

REQUIRES = {"torch": "train", "transformers": "train"}
LOADS = "float32"
SHARDED = True


class Config(FitConfig):
    """Settings of training all weights."""

    learning_rate: float = Field(2e-4, gt=0, description="Highest learning rate.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of attention weights dropped in training.")
    first_layer: int = Field(
        0, ge=0, description="Layers below this one, and the embeddings, stay as they are; 0 trains all."
    )


def train(cfg: Config, data: Dataset, job: Job) -> Path:
    """Train on the `train` chats of `data`, keep the weights best on `valid`, and write them to `output/weights`.

    Weights and optimiser are float32 whatever the arithmetic: in bf16 most steps would be rounded away.
    """
    import torch

    from endonym.models.load import load_model
    from endonym.train import recipe
    from endonym.train.finish import save_weights

    torch.manual_seed(cfg.seed)
    loaded = load_model(job.project.base, dtype=LOADS)
    return recipe.run(
        "full", cfg, data, job, loaded, network(cfg),
        lambda model, out: save_weights(model, loaded.tokenizer, out / "weights"),
    )  # fmt: skip


def network(cfg: Config) -> Build:
    """What sets a loaded base up for training all its weights."""
    return whole(cfg, cfg.dropout, cfg.first_layer)


def whole(cfg: FitConfig, dropout: float = 0.0, first_layer: int = 0) -> Build:
    """What sets a loaded model up for training all weights from `first_layer` on."""

    def build(loaded: Loaded) -> Any:
        from endonym.train.network import drop_attention, freeze_below, trainable

        model = trainable(loaded.model, cfg, loaded)
        if hasattr(model, "bank"):
            model.bank.requires_grad_(False)
        drop_attention(model, dropout)
        freeze_below(model, first_layer)
        return model

    return build
