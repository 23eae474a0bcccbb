"""What the recipe `grow` is made of: the model it starts from, its growth step by step, and the arms it is compared with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from endonym.data.dataset import Dataset
from endonym.errors import JobError, MissingError
from endonym.models.grow import grow
from endonym.models.grow_shape import shape_of, target_shape
from endonym.models.grow_vocabulary import grow_vocabulary
from endonym.models.load import Loaded, load_artifact, load_model, number_format
from endonym.train.compute import counted_parameters, known_flops
from endonym.train.compute_matched import (
    Arm,
    Outcome,
    answers_of,
    common_answers,
    fit_arm,
    judge,
    rows_of,
    same_compute,
    tokens_per_step,
)
from endonym.train.network import attention
from endonym.train.rows import chats_of, spread
from endonym.types import Chat

if TYPE_CHECKING:
    from endonym.jobs.job import Job
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
    folder = _folder(cfg.model, job)
    return (
        load_artifact(folder, "float32") if (folder / "model.json").is_file() else load_model(folder, dtype="float32")
    )


def with_tokenizer(cfg: Config, small: Loaded, job: Job) -> Loaded:
    """`small` with the tokenizer its vocabulary shall grow to, when one is named."""
    if not cfg.tokenizer:
        return small
    from transformers import AutoTokenizer

    from endonym.models.render import Renderer

    tokenizer = AutoTokenizer.from_pretrained(_folder(cfg.tokenizer, job))
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
    old = shape_of(small.model.config)
    new = target_shape(
        small.model.config, cfg.layers or -(-4 * old.layers // 3), cfg.width, cfg.inner, cfg.heads, cfg.kv_heads
    )
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


def compare(cfg: Config, small: Loaded, grown: Loaded, data: Dataset, job: Job) -> None:
    """Train the small model on, and one of the grown shape from random weights, at the compute of the grown one; judge all three.

    From scratch also gets the compute that once made the small model, where runs of this project tell it.
    """
    learned, held = chats_of(data, "train"), chats_of(data, "valid")
    chats = common_answers(held, (small, grown), cfg)
    rows, small_rows = rows_of(learned, grown, cfg), rows_of(learned, small, cfg)
    earlier = known_flops(_folder(cfg.model, job) if cfg.model else small.base.parent)
    outcome, counted = _grown_outcome(grown, chats, earlier, job)
    step = 6 * counted * tokens_per_step(rows, cfg)
    arms = [
        _continued(cfg, small, step, small_rows, earlier, job),
        _scratch(cfg, grown, step, earlier, job),
    ]
    outcomes: list[Outcome] = [outcome]
    for arm, arm_rows in zip(arms, (small_rows, rows), strict=True):
        made = fit_arm(arm, arm_rows, chats, job)
        if made is None:
            return
        outcomes.append(made)
    notes = (
        [f"From scratch was given {earlier:.3g} FLOPs more, which had made the small model."]
        if earlier is not None
        else ["What the small model once cost is not known; from scratch was given none of it, to its disadvantage."]
    )
    judge(outcomes, notes, job)


def _grown_outcome(grown: Loaded, chats: Sequence[Chat], earlier: float | None, job: Job) -> tuple[Outcome, int]:
    """The grown model as it was saved, measured; and how many of its parameters count."""
    loaded = load_model(job.output / "weights", dtype="float32")
    about = json.loads((job.output / "model.json").read_text(encoding="utf-8"))
    answers = answers_of(replace(grown, model=loaded.model), chats)
    spent = {name: about[name] for name in ("steps", "best_step", "parameters", "tokens", "flops", "seconds")}
    return Outcome("grown", earlier_flops=earlier or 0.0, answers=answers, **spent), counted_parameters(loaded.model)


def _continued(cfg: Config, small: Loaded, step: float, rows: Any, earlier: float | None, job: Job) -> Arm:
    def build() -> Any:
        return _trainable(load_small(cfg, job).model, cfg, small)

    counted = counted_parameters(load_small(cfg, job).model)
    own_step = 6 * counted * tokens_per_step(rows, cfg)
    return Arm("continued", small, build, same_compute(cfg, step / own_step), earlier or 0.0)


def _scratch(cfg: Config, grown: Loaded, step: float, earlier: float | None, job: Job) -> Arm:
    def build() -> Any:
        from transformers import AutoConfig, AutoModelForCausalLM

        torch.manual_seed(cfg.seed)
        config = AutoConfig.from_pretrained(job.output / "weights")
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="sdpa")
        return _trainable(model.to(grown.device), cfg, grown)

    more = (earlier or 0.0) / (step * min(cfg.steps, cfg.max_steps or cfg.steps))
    return Arm("scratch", grown, build, same_compute(cfg, 1 + more, cfg.scratch_learning_rate))


def _trainable(model: Any, cfg: Config, loaded: Loaded) -> Any:
    model.requires_grad_(True)
    model.compute_dtype = number_format(cfg.dtype, loaded.device)
    return model


def _folder(name: str, job: Job) -> Path:
    path = Path(name).expanduser()
    path = path if path.is_absolute() else job.project.path / path
    if not path.is_dir():
        raise MissingError(
            f"the folder {path} is not there", "Name a folder for --model or --tokenizer, from the project's on."
        )
    return path
