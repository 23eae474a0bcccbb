"""Train a small new decoder from random weights, on nothing but this project's own material."""

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
LOADS = "tokenizer"
SHARDED = True


class Config(FitConfig):
    """Settings of training from nothing."""

    size: float = Field(10.0, gt=0, description="Millions of parameters; width and depth follow from it.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Share of attention weights dropped in training.")
    learning_rate: float = Field(2e-3, gt=0, description="Highest learning rate.")
    weight_decay: float = Field(
        0.1, ge=0, le=1.6, description="Decoupled weight decay of matrices; more for less text."
    )
    patience: int = Field(3, ge=0, description="Stop after this many evaluations without gain; 0 never stops early.")


def train(cfg: Config, data: Dataset, job: Job) -> Path:
    """Train on the chats of `data` with the tokenizer of the project's base, and write the model to `output/weights`."""
    import torch

    from endonym.models.load import load_tokenizer
    from endonym.train import recipe
    from endonym.train.finish import save_weights

    torch.manual_seed(cfg.seed)
    empty = load_tokenizer(job.project.base)

    def build(loaded: Loaded) -> Any:
        model = network(cfg)(loaded)
        shape = model.config
        job.log(
            f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} million parameters: {shape.num_hidden_layers} layers of "
            f"{shape.hidden_size}, vocabulary {shape.vocab_size}"
        )
        return model

    return recipe.run(
        "scratch", cfg, data, job, empty, build,
        lambda model, out: save_weights(model, empty.tokenizer, out / "weights"),
    )  # fmt: skip


def network(cfg: Config) -> Build:
    """What makes a new decoder for the tokenizer of the base."""

    def build(loaded: Loaded) -> Any:
        import torch
        from transformers import LlamaForCausalLM

        from endonym.models.shapes import decoder_of_size
        from endonym.train.network import trainable

        torch.manual_seed(cfg.seed)
        shape = decoder_of_size(cfg.size * 1e6, loaded.tokenizer, cfg.max_length, cfg.dropout)
        return trainable(LlamaForCausalLM(shape).float().to(loaded.device), cfg, loaded)

    return build
