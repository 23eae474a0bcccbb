"""Train all weights of a model: learns most, and needs the most memory and disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from endonym.train.settings import FitConfig

if TYPE_CHECKING:
    from endonym.data.dataset import Dataset
    from endonym.jobs.job import Job

REQUIRES = {"torch": "train", "transformers": "train"}


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

    from endonym.models.load import Loaded, load_model, number_format
    from endonym.train import recipe
    from endonym.train.finish import save_weights
    from endonym.train.network import drop_attention, freeze_below

    torch.manual_seed(cfg.seed)
    loaded = load_model(job.project.base, dtype="float32")

    def build(loaded: Loaded) -> Any:
        model: Any = loaded.model
        model.requires_grad_(True)
        drop_attention(model, cfg.dropout)
        freeze_below(model, cfg.first_layer)
        model.compute_dtype = number_format(cfg.dtype, loaded.device)
        return model

    return recipe.run(
        "full", cfg, data, job, loaded, build, lambda model, out: save_weights(model, loaded.tokenizer, out / "weights")
    )
