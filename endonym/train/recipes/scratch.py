"""Train a small new decoder from random weights, on nothing but this project's own material."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from endonym.train.settings import NewConfig

if TYPE_CHECKING:
    from endonym.data.dataset import Dataset
    from endonym.jobs.job import Job
    from endonym.models.load import Loaded
    from endonym.train.recipe import Build

REQUIRES = {"torch": "train", "transformers": "train"}
LOADS = "tokenizer"
SHARDED = True


class Config(NewConfig):
    """Settings of training from nothing."""

    learning_rate: float = Field(1e-3, gt=0, description="Highest learning rate.")
    size: float = Field(10.0, gt=0, description="Millions of parameters; width and depth follow from it.")


def train(cfg: Config, data: Dataset, job: Job) -> Path:
    """Train on the chats of `data` with the tokenizer of the project's base, and write the model to `output/weights`."""
    import torch

    from endonym.models.load import load_tokenizer
    from endonym.train import recipe
    from endonym.train.finish import save_weights
    from endonym.train.rows import chats_of, prepare
    from endonym.train.searched import searched

    torch.manual_seed(cfg.seed)
    empty = load_tokenizer(job.project.base)
    prepared = prepare(chats_of(data, "train"), chats_of(data, "valid"), empty.renderer, cfg, job)
    found = searched(cfg, network, empty, prepared, job)
    if found is None:
        return job.output

    def build(loaded: Loaded) -> Any:
        model = network(found)(loaded)
        shape = model.config
        job.log(
            f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} million parameters: {shape.num_hidden_layers} layers of "
            f"{shape.hidden_size}, vocabulary {shape.vocab_size}"
        )
        return model

    return recipe.run(
        "scratch", found, data, job, empty, build,
        lambda model, out: save_weights(model, empty.tokenizer, out / "weights"), prepared=prepared,
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


def all_steps(cfg: Config) -> int:
    """Steps of the search and of what comes after it."""
    return cfg.last_step + cfg.searched_steps
