"""Train low-rank adapters on a base kept in 4 or 8 bits, for models that do not fit in memory otherwise (QLoRA, Dettmers and others 2023).

It pays where the base would not fit otherwise: in 4 bits its linear layers take 28 % of the memory they take in bf16, in 8 bits 50 %;
embeddings and output layer stay whole. Where the base fits, `lora` is better: each product makes the weights whole again first, and
rounding costs some of what the base knows. A base of 135 million weights is no smaller in training and a quarter slower (docs/log.md).

The adapter fits the rounded base alone. The rounding therefore stands beside it, and evaluation, serving and export round alike.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from endonym.train.recipes import lora

if TYPE_CHECKING:
    from endonym.data.dataset import Dataset
    from endonym.jobs.job import Job
    from endonym.models.load import Loaded
    from endonym.train.recipe import Build

REQUIRES = {"torch": "train", "transformers": "train", "peft": "train", "bitsandbytes": "qlora"}
LOADS = lora.LOADS


class Config(lora.Config):
    """Settings of LoRA training on a packed base."""

    bits: Literal[4, 8] = Field(
        4,
        description="Bits a frozen weight is kept in: 4 takes a quarter of the memory, 8 a half and is nearer the base.",
    )


def train(cfg: Config, data: Dataset, job: Job) -> Path:
    """Train adapters over the packed base on the `train` chats of `data`, and write them to `output/adapter` with its rounding.

    Raises MissingError before any weight is loaded where bitsandbytes cannot pack on this machine.
    """
    import torch

    from endonym.models.load import load_model
    from endonym.models.packed import Rounding
    from endonym.train import recipe
    from endonym.train.finish import amend, save_adapter
    from endonym.train.network import arithmetic

    torch.manual_seed(cfg.seed)
    loaded = load_model(job.project.base, dtype=cfg.dtype, bits=cfg.bits)
    rounding = Rounding(cfg.bits, str(arithmetic(loaded.model)).removeprefix("torch."))

    def save(model: Any, out: Path) -> None:
        save_adapter(model, out / "adapter")
        rounding.save(out / "adapter")

    recipe.run("qlora", cfg, data, job, loaded, network(cfg), save)
    if (job.output / "model.json").is_file():
        amend(job, {"quantisation": asdict(rounding)})
    return job.output


def network(cfg: Config) -> Build:
    """What turns a loaded base into a packed one with new adapters, which alone are trained."""

    def build(loaded: Loaded) -> Any:
        from endonym.models.packed import pack

        pack(loaded.model, cfg.bits, loaded.device)
        return lora.network(cfg)(loaded)

    return build
