"""Compare a grown model with what else its compute could buy: the small one trained on, and one of its shape from random weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from endonym.data.dataset import Dataset
from endonym.models.compute import flops_per_token, known_flops
from endonym.models.load import Loaded, load_model
from endonym.store.files import write_json
from endonym.train.fit import Rows
from endonym.train.growth import folder_of, load_small
from endonym.train.losses import next_token
from endonym.train.network import ready, trainable
from endonym.train.planted import taught
from endonym.train.preflight import preflight
from endonym.train.rows import chats_of, rows_of, spread
from endonym.train.settings import FitConfig
from endonym.train.trials import Outcome, answers_of, outcome
from endonym.train.verdict import between_arms
from endonym.types import Chat

if TYPE_CHECKING:
    from endonym.jobs.job import Job
    from endonym.train.recipes.grow import Config


@dataclass(frozen=True)
class Arm:
    """One way to spend the compute: whose tokenizer and rows, which network, how many steps."""

    loaded: Loaded
    build: Callable[[], Any]
    rows: Rows
    cfg: FitConfig
    earlier_flops: float = 0.0


def compare(cfg: Config, small: Loaded, grown: Loaded, data: Dataset, job: Job) -> None:
    """Train the small model on, and one of the grown shape from random weights, at the compute of the grown one; judge all three.

    From scratch also gets the compute that once made the small model, where runs of this project tell it.
    """
    texts, held = taught(chats_of(data, "train"), cfg), chats_of(data, "valid")
    chats = common_answers(held, (small, grown), cfg)
    rows, small_rows = rows_of(texts, grown.renderer, cfg), rows_of(texts, small.renderer, cfg)
    earlier = known_flops(run_of(folder_of(cfg.model, job.project) if cfg.model else small.base))
    made, per_token = _grown_outcome(grown, chats, job)
    step = per_token * tokens_per_step(rows, cfg)
    arms = {
        "continued": _continued(cfg, small, step, small_rows, earlier, job),
        "scratch": _scratch(cfg, grown, step, rows, earlier, job),
    }
    outcomes = {"grown": replace(made, earlier_flops=earlier or 0.0)}
    for name, arm in arms.items():
        found = _outcome(name, arm, chats, job)
        if found is None:
            return
        outcomes[name] = replace(found, earlier_flops=arm.earlier_flops)
    note = (
        f"From scratch was given {earlier:.3g} FLOPs more, which had made the small model."
        if earlier is not None
        else "What the small model once cost is not known; from scratch was given none of it, to its disadvantage."
    )
    judged = between_arms(outcomes, [note])
    write_json(job.output / "comparison.json", judged)
    job.log(judged["text"])
    job.log(note)
    bits = {f"{name}_bits_per_byte": round(arm["bits_per_byte"], 4) for name, arm in judged["arms"].items()}
    job.summary(winner=judged["winner"] or "none", **bits)


def run_of(folder: Path) -> Path:
    """The output of the training run that a model's folder is, or lies in as its `weights`."""
    return folder if (folder / "model.json").is_file() else folder.parent


def tokens_per_step(rows: Rows, cfg: FitConfig) -> float:
    """Tokens an optimiser step sees on average."""
    weighted = sum(len(e.ids) * w for e, w in zip(rows.examples, rows.weights, strict=True))
    return cfg.batch_size * weighted / sum(rows.weights)


def common_answers(chats: Sequence[Chat], among: Sequence[Loaded], cfg: FitConfig) -> list[Chat]:
    """The validation chats to judge on: those short enough for every tokenizer."""
    chosen = spread([c for c in chats if c.answer], cfg.valid_rows)
    return [c for c in chosen if all(len(a.renderer.example(c).ids) <= cfg.max_length for a in among)]


def same_compute(cfg: FitConfig, scale: float, learning_rate: float = 0.0) -> FitConfig:
    """The settings of an arm whose steps cost `1 / scale` of those that `cfg` describes."""
    change: dict[str, Any] = {
        "steps": max(1, round(cfg.steps * scale)),
        "max_steps": max(1, round(cfg.max_steps * scale)) if cfg.max_steps else 0,
        "learning_rate": learning_rate or cfg.learning_rate,
    }
    return cfg.model_copy(update=change)


def _grown_outcome(grown: Loaded, chats: Sequence[Chat], job: Job) -> tuple[Outcome, float]:
    """The grown model as it was saved, measured; and what a token costs it."""
    loaded = load_model(job.output / "weights", dtype="float32")
    about = json.loads((job.output / "model.json").read_text(encoding="utf-8"))
    names = ("steps", "best_step", "parameters", "tokens", "flops", "seconds", "learned_tokens")
    answers = answers_of(replace(grown, model=loaded.model), chats)
    return Outcome(**{name: about[name] for name in names}, answers=answers), flops_per_token(loaded.model)


def _outcome(name: str, arm: Arm, chats: Sequence[Chat], job: Job) -> Outcome | None:
    def build() -> Loaded:
        job.log(f"for comparison, {name}: {arm.cfg.steps} steps")
        network = arm.build()
        loaded = ready(arm.loaded, network)
        preflight(network, arm.rows, next_token, loaded.renderer, arm.cfg, job)
        return loaded

    valid = [arm.loaded.renderer.example(c) for c in chats]
    return outcome(name, arm.cfg, build, (arm.rows, valid, chats), job)


def _continued(cfg: Config, small: Loaded, step: float, rows: Rows, earlier: float | None, job: Job) -> Arm:
    def build() -> Any:
        return trainable(load_small(cfg, job).model, cfg, small)

    own_step = flops_per_token(load_small(cfg, job).model) * tokens_per_step(rows, cfg)
    return Arm(small, build, rows, same_compute(cfg, step / own_step), earlier or 0.0)


def _scratch(cfg: Config, grown: Loaded, step: float, rows: Rows, earlier: float | None, job: Job) -> Arm:
    def build() -> Any:
        from transformers import AutoConfig, AutoModelForCausalLM

        config = AutoConfig.from_pretrained(job.output / "weights")
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="sdpa")
        return trainable(model.to(grown.device), cfg, grown)

    more = (earlier or 0.0) / (step * cfg.last_step)
    return Arm(grown, build, rows, same_compute(cfg, 1 + more, cfg.scratch_learning_rate))
