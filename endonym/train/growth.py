"""What the recipe `grow` is made of: the model it starts from, and its growth step by step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from endonym.data.dataset import Dataset
from endonym.errors import JobError, MissingError
from endonym.models.bases import run_of
from endonym.models.grow import empty, grow
from endonym.models.grow_shape import Shape, shape_of, target_shape
from endonym.models.grow_vocabulary import grow_vocabulary
from endonym.models.load import Loaded, lay_out, load_artifact, load_model, weights_of
from endonym.models.vocabulary import make_room
from endonym.train.network import attention
from endonym.train.rows import chats_of, spread

if TYPE_CHECKING:
    from endonym.jobs.job import Job
    from endonym.project import Project
    from endonym.train.recipes.grow import Config

SHOWN = 8
"""Validation rows on which the logits before and after are compared."""
CLOSE = 1e-3
"""Largest difference of logits at which a growth counts as lossless; 1e-4 is usual, and large logits round worse."""

BEARABLE = 0.02
"""Nats a token of old text that a larger vocabulary may cost without a warning."""


def load_small(cfg: Config, job: Job) -> Loaded:
    """The model to grow, in fp32, adapters merged: the run or folder that is named, else the project's base."""
    if not cfg.model:
        return load_model(job.project.base, dtype="float32")
    folder = folder_of(cfg.model, job.project)
    return (
        load_artifact(folder, "float32") if (folder / "model.json").is_file() else load_model(folder, dtype="float32")
    )


def with_tokenizer(cfg: Config, small: Loaded, project: Project) -> Loaded:
    """`small` with the tokenizer its vocabulary shall grow to, when one is named."""
    if not cfg.tokenizer:
        return small
    from transformers import AutoTokenizer

    from endonym.models.render import Renderer

    tokenizer = AutoTokenizer.from_pretrained(folder_of(cfg.tokenizer, project))
    return replace(small, tokenizer=tokenizer, renderer=Renderer(tokenizer))


def without_model(loaded: Loaded) -> Loaded:
    """`loaded` with its tokenizer alone, so that its weights can leave the memory."""
    nothing: Any = None
    return replace(loaded, model=nothing)


def grown_network(cfg: Config, loaded: Loaded, data: Dataset, job: Job) -> Any:
    """The small model with the vocabulary of `loaded` and the shape asked for; logs what changed.

    Raises JobError when a lossless growth changed the logits of validation rows.
    """
    small = load_small(cfg, job)
    if cfg.tokenizer:
        done = grow_vocabulary(small.model, small.tokenizer, loaded.tokenizer, seed=cfg.seed)
        job.log(
            f"{done.new_rows:,} new tokens beside {done.kept_rows:,}: {done.nats_lost:.4f} nats a token lost on old text "
            f"({done.nats_unbounded:.4f} had their rows been the mean of their pieces)"
        )
        if done.nats_lost > BEARABLE:
            text = f"the new tokens cost {done.nats_lost:.3f} nats a token of old text; train on some of it too"
            job.event("warning", text=text)
    old, new = shape_of(small.model.config), grown_shape(cfg, small.model.config)
    model = grow(small.model, new, cfg.operator, cfg.seed)
    sizes = [f"{sum(p.numel() for p in m.parameters()) / 1e6:.1f} million parameters" for m in (small.model, model)]
    gap = logit_difference(small.model, model, loaded, data, cfg)
    job.log(f"before: {old}; {sizes[0]}")
    job.log(f"after: {new}; {sizes[1]}; logits of validation rows differ by {gap:.1e} at most ({cfg.operator})")
    job.summary(logit_difference=gap)
    if cfg.operator == "lossless" and not gap < CLOSE:
        raise JobError(
            f"growing changed the logits by {gap:.1e}",
            "This model computes something that growing knows nothing of; choose another base, or --operator stack.",
        )
    return model


def outline(cfg: Config, project: Project) -> Loaded:
    """The grown network without numbers, with its tokenizer."""
    small = lay_out(weights_of(folder_of(cfg.model, project)) if cfg.model else project.base, "float32")
    tokenized = with_tokenizer(cfg, small, project)
    make_room(small.model, small.tokenizer, tokenized.tokenizer)
    with torch.device("meta"):
        grown, _, _ = empty(small.model, grown_shape(cfg, small.model.config), cfg.operator)
    return replace(tokenized, model=grown)


def grown_shape(cfg: Config, config: Any) -> Shape:
    """The shape to grow a model with the settings `config` to."""
    layers = cfg.layers or -(-4 * shape_of(config).layers // 3)
    return target_shape(config, layers, cfg.width, cfg.inner, cfg.heads, cfg.kv_heads)


@torch.no_grad()
def logit_difference(first: Any, second: Any, loaded: Loaded, data: Dataset, cfg: Config) -> float:
    """Largest difference of any logit of two models on some validation rows."""
    largest = 0.0
    for chat in spread([c for c in chats_of(data, "valid") if c.answer], SHOWN):
        ids = torch.tensor([loaded.renderer.example(chat).ids[: cfg.max_length]], device=loaded.device)
        with attention(first, "sdpa"), attention(second, "sdpa"):
            gap = (first(input_ids=ids).logits - second(input_ids=ids).logits).abs().max()
        largest = max(largest, float(gap))
    return largest


def folder_of(name: str, project: Project) -> Path:
    """The folder a user named, from the project's on, or of the run with this number or name; raises MissingError where there is none."""
    path = run_of(name, project) or project.path / Path(name).expanduser()
    if not path.is_dir():
        raise MissingError(
            f"the folder {path} is not there",
            "Name a run or a folder for --model or --tokenizer, from the project's on.",
        )
    return path
