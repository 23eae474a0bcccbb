"""Give the base model the newest extended or new tokenizer: its new tokens are learned first, then all weights.

New rows start from what the model knows of their old spelling (`models/adopt.py`). Learning them alone first keeps gradients of
tokens that mean nothing yet from spoiling the layers (Yamaguchi and others, 2024). All weights follow, not adapters: with the
embeddings whole weights have to be written anyway, and the layers must learn to read longer tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from endonym.train.recipes import full
from endonym.train.settings import FitConfig

if TYPE_CHECKING:
    from endonym.data.dataset import Dataset
    from endonym.jobs.job import Job
    from endonym.models.adopt import Material
    from endonym.models.load import Loaded
    from endonym.project import Project
    from endonym.train.fit import Fitted
    from endonym.train.recipe import Build, Fit

REQUIRES = {"torch": "train", "transformers": "train"}
INPUTS = {"vocabulary": "vocabulary"}
SHARDED = True


class Config(FitConfig):
    """Settings of training with another tokenizer."""

    learning_rate: float = Field(2e-4, gt=0, description="Highest learning rate when all weights learn.")
    rows: Literal["auto", "mean", "weighted", "distil", "random"] = Field(
        "auto", description="How new rows are made; auto takes what needs the fewest bits on the validation rows."
    )
    warm_steps: int = Field(50, ge=0, description="Steps in which the new rows learn alone.")
    warm_learning_rate: float = Field(1e-3, gt=0, description="Highest learning rate of those steps.")
    distil_tokens: int = Field(30_000, ge=100, description="Tokens of training text that distil reads.")
    measured_rows: int = Field(48, ge=1, description="Validation answers that auto measures on.")


def train(cfg: Config, data: Dataset, job: Job) -> Path:
    """Train on the `train` chats of `data`, keep the weights best on `valid`, and write them to `output/weights`.

    Raises UsageError when the tokenizer was made for another base.
    """
    import torch

    from endonym.models.load import load_model
    from endonym.models.vocabulary import all_rows, only_rows
    from endonym.train import recipe
    from endonym.train.finish import save_weights

    torch.manual_seed(cfg.seed)
    adopted, fresh = _adopted(cfg, data, job, load_model(job.project.base, dtype="float32"))

    def warm(model: Any, fit: Fit) -> Fitted | None:
        if not (cfg.warm_steps and fresh):
            return None
        job.log(f"the {len(fresh)} new rows alone, then all weights")
        only_rows(model, fresh)
        warmed = fit(_warm(cfg), "warm")
        all_rows(model)
        model.requires_grad_(True)
        return warmed

    return recipe.run(
        "embeddings", cfg, data, job, adopted, network(cfg),
        lambda model, out: save_weights(model, adopted.tokenizer, out / "weights"), first=warm,
    )  # fmt: skip


def outline(cfg: Config, project: Project, inputs: Mapping[str, Path]) -> Loaded:
    """The base without numbers, with the vocabulary of the newest tokenizer."""
    from transformers import AutoTokenizer

    from endonym.models.load import lay_out
    from endonym.models.render import Renderer
    from endonym.models.vocabulary import make_room

    loaded = lay_out(project.base, "float32")
    tokenizer = AutoTokenizer.from_pretrained(inputs["vocabulary"] / "tokenizer")
    make_room(loaded.model, loaded.tokenizer, tokenizer)
    return replace(loaded, tokenizer=tokenizer, renderer=Renderer(tokenizer))


def network(cfg: Config) -> Build:
    """What sets the model up for training all its weights."""
    return full.whole(cfg)


def all_steps(cfg: Config) -> int:
    """Those of the new rows alone, and those of all weights."""
    return _warm(cfg).last_step * bool(cfg.warm_steps) + cfg.last_step


def _warm(cfg: Config) -> Config:
    """The settings of the steps in which the new rows learn alone; decay would pull them back to nothing."""
    steps = {"steps": cfg.warm_steps, "learning_rate": cfg.warm_learning_rate, "weight_decay": 0.0, "patience": 0}
    return cfg.model_copy(update=steps)


def _adopted(cfg: Config, data: Dataset, job: Job, loaded: Loaded) -> tuple[Loaded, list[int]]:
    """The base with its new tokenizer, and the ids of its new rows; rows made before an interruption are taken again."""
    import json

    from safetensors.torch import load_file, save_file
    from transformers import AutoTokenizer

    from endonym.errors import UsageError
    from endonym.models.adopt import adopt
    from endonym.models.distil import Distilling
    from endonym.store.files import sync, write_json

    folder = Path(str(job.inputs["vocabulary"]))
    base = json.loads((folder / "report.json").read_text(encoding="utf-8"))["base"]
    if base != job.project.base:
        hint = "Make one for this base: endonym tokenizer extend"
        raise UsageError(
            f"the newest tokenizer was made for {base}, and the project's base is {job.project.base}", hint
        )
    kept = job.folder / "checkpoints" / "rows.safetensors"
    rows = load_file(kept) if kept.is_file() else {}
    adopted = adopt(
        loaded, AutoTokenizer.from_pretrained(folder / "tokenizer"), cfg.rows, _material(cfg, data, job),
        Distilling(tokens=cfg.distil_tokens, seed=cfg.seed), job.log,
        lambda done, total: job.tick(done, total, "snippets"), rows,
    )  # fmt: skip
    if not rows:
        about = {"way": adopted.way, "bits_per_byte": adopted.bits_per_byte, "new_rows": len(adopted.changed.fresh)}
        write_json(job.output / "rows.json", about)
        kept.parent.mkdir(parents=True, exist_ok=True)
        save_file(adopted.rows, kept.with_suffix(".tmp"))
        sync(kept.with_suffix(".tmp"))
        kept.with_suffix(".tmp").replace(kept)
    return adopted.loaded, adopted.changed.fresh


def _material(cfg: Config, data: Dataset, job: Job) -> Material:
    from endonym.data.dataset import Dataset
    from endonym.models.adopt import Material
    from endonym.train.rows import chats_of, evenly
    from endonym.types import Pair

    language, pivot = job.project.language, job.project.pivot
    texts, pairs = [], []
    for record in Dataset.of(job, "split").records("train"):
        texts += [text for code, text in record.texts() if code == language]
        if isinstance(record, Pair) and (sides := record.between(language, pivot)):
            pairs.append(sides)
    held = chats_of(data, "valid")
    held = [c for c in held if c.language == language] or held
    return Material(texts, pairs, evenly(held, cfg.measured_rows))
