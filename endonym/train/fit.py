"""The one training loop: token-normalised steps over packed rows, evaluation, checkpoints, early stopping, exact resume."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load_file, save_file

from endonym.errors import JobError
from endonym.models.render import Example
from endonym.train import checkpoint
from endonym.train.batches import Packed, micro_batches, pack, steps
from endonym.train.checkpoint import State

if TYPE_CHECKING:
    from endonym.jobs.job import Job

Loss = Callable[[torch.nn.Module, Packed], torch.Tensor]
"""Summed loss over the learned tokens of a pack."""


class FitConfig(BaseModel):
    """Settings of the loop that every gradient-trained recipe shares."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(200, ge=1, description="Optimiser steps.")
    max_steps: int = Field(0, ge=0, description="Stop after this many steps whatever the plan says; 0 is no limit.")
    batch_size: int = Field(32, ge=1, description="Rows per optimiser step.")
    batch_tokens: int = Field(
        4096, ge=64, description="Tokens computed at once; smaller needs less memory, same result."
    )
    learning_rate: float = Field(1e-3, gt=0, description="Highest learning rate.")
    warmup: float = Field(0.05, ge=0, le=1, description="Share of the steps in which the learning rate rises.")
    final: float = Field(0.02, ge=0, le=1, description="Learning rate at the end, as a share of the highest.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay of matrices.")
    clip: float = Field(1.0, ge=0, description="Largest norm of a step's gradient; 0 is no limit.")
    max_length: int = Field(1024, ge=16, description="Longest row in tokens; a longer one goes to the ledger.")
    evaluate_every: int = Field(50, ge=1, description="Steps between evaluations on the validation split.")
    valid_rows: int = Field(128, ge=1, description="Validation rows used for each evaluation.")
    samples: int = Field(3, ge=0, description="Answers generated and shown at each evaluation.")
    save_every: int = Field(50, ge=1, description="Steps between checkpoints.")
    patience: int = Field(0, ge=0, description="Stop after this many evaluations without gain; 0 never stops early.")
    dtype: str = Field("auto", pattern="^(auto|float32|bfloat16)$", description="Number format of the computation.")
    seed: int = Field(20, description="Seed of row order, initial values and dropout.")


@dataclass(frozen=True)
class Rows:
    """Rendered rows with how often each is seen per epoch."""

    examples: Sequence[Example]
    weights: Sequence[float]


@dataclass(frozen=True)
class Fitted:
    """How a run ended."""

    steps: int
    best_step: int
    best_loss: float
    """Validation loss in nats per learned token."""
    cancelled: bool
    tokens_per_second: float
    peak_bytes: int


def fit(
    model: torch.nn.Module,
    train: Rows,
    valid: Sequence[Example],
    loss: Loss,
    cfg: FitConfig,
    job: Job,
    sample: Callable[[int], None] | None = None,
) -> Fitted:
    """Train the parameters of `model` that require gradients, leaving it with the best weights found.

    A step's loss is the sum over its rows' learned tokens divided by their number, whatever the packing. Goes on from the
    newest checkpoint that verifies in the job's `checkpoints/`; with the same settings the result is bit-identical to an
    unbroken run on a CPU. Raises JobError when the loss stops being a number.
    """
    torch.manual_seed(cfg.seed)
    names = [n for n, p in model.named_parameters() if p.requires_grad]
    weights = {n: p for n, p in model.named_parameters() if p.requires_grad}
    optimizer = _optimizer(weights, cfg)
    folder = job.folder / "checkpoints"
    best = _Best(folder / "best.safetensors", weights)
    state, found = State(), checkpoint.newest(folder)
    if found is not None:
        state = checkpoint.load(found, weights, optimizer, names)
        job.log(f"going on from the checkpoint of step {state.step}")
    total = min(cfg.steps, cfg.max_steps or cfg.steps)
    source = steps(len(train.examples), train.weights, cfg.batch_size, cfg.seed, state.cursor)
    device = next(model.parameters()).device
    started, tokens, cancelled = time.monotonic(), 0, False
    if state.step == 0:
        _evaluate(model, valid, loss, cfg, job, state, best, sample)
    while state.step < total:
        chosen, state.cursor = next(source)
        value, seen, learned = _step(
            model, [train.examples[i] for i in chosen], loss, optimizer, weights, state.step, cfg, device
        )
        if not math.isfinite(value):
            raise JobError(
                f"the loss of step {state.step + 1} is not a number",
                "Resume with a lower --learning-rate; the last good checkpoint is kept.",
            )
        state.step += 1
        state.learned_tokens += learned
        tokens += seen
        seconds = time.monotonic() - started
        rate = tokens / max(seconds, 1e-9)
        job.metric("loss", value, state.step)
        job.tick(
            state.step, total, "steps", loss=round(value, 4), tokens_per_second=round(rate), memory_bytes=peak_bytes()
        )
        last = state.step >= total
        if state.step % cfg.evaluate_every == 0 or last:
            _evaluate(model, valid, loss, cfg, job, state, best, sample)
        stop = bool(cfg.patience) and state.evaluations_without_gain >= cfg.patience
        cancelled = job.cancelled() and not last
        if state.step % cfg.save_every == 0 or last or stop or cancelled:
            checkpoint.save(folder, state, weights, optimizer, names)
        if cancelled or stop:
            job.log(f"stopped at step {state.step}: " + ("asked to" if cancelled else "no gain any more"))
            break
    if not cancelled:
        best.restore()
    return Fitted(
        state.step,
        state.best_step,
        state.best_loss,
        cancelled,
        tokens / max(time.monotonic() - started, 1e-9),
        peak_bytes(),
    )


def mean_loss(model: torch.nn.Module, examples: Sequence[Example], loss: Loss, batch_tokens: int) -> float:
    """Mean loss in nats per learned token over `examples`, without dropout or gradients."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    total, count = 0.0, 0
    with torch.no_grad():
        for rows in micro_batches(examples, batch_tokens):
            batch = pack(rows, device)
            total += float(loss(model, batch))
            count += batch.num_learned
    model.train(was_training)
    return total / max(count, 1)


def learning_rate(step: int, cfg: FitConfig) -> float:
    """Learning rate of step `step` (from 0): linear warm-up, then half a cosine down to `final` of the highest."""
    warm = max(1, round(cfg.warmup * cfg.steps))
    if step < warm:
        return cfg.learning_rate * (step + 1) / warm
    done = (step - warm) / max(1, cfg.steps - warm)
    return cfg.learning_rate * (cfg.final + (1 - cfg.final) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def peak_bytes() -> int:
    """Most memory this process (on a GPU: this device) has used so far, in bytes."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _step(
    model: torch.nn.Module,
    examples: Sequence[Example],
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    weights: dict[str, torch.nn.Parameter],
    step: int,
    cfg: FitConfig,
    device: torch.device,
) -> tuple[float, int, int]:
    """One optimiser step; returns (mean loss, tokens seen, tokens learned)."""
    model.train()
    packs = [pack(rows, device) for rows in micro_batches(examples, cfg.batch_tokens)]
    learned = sum(p.num_learned for p in packs)
    total = 0.0
    for batch in packs:
        part = loss(model, batch)
        (part / learned).backward()
        total += float(part.detach())
    if cfg.clip:
        torch.nn.utils.clip_grad_norm_(weights.values(), cfg.clip)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, cfg)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total / learned, sum(p.num_tokens for p in packs), learned


def _evaluate(
    model: torch.nn.Module,
    valid: Sequence[Example],
    loss: Loss,
    cfg: FitConfig,
    job: Job,
    state: State,
    best: _Best,
    sample: Callable[[int], None] | None,
) -> None:
    value = mean_loss(model, valid, loss, cfg.batch_tokens)
    job.metric("valid_loss", value, state.step)
    if value < state.best_loss:
        state.best_loss, state.best_step, state.evaluations_without_gain = value, state.step, 0
        best.keep()
    else:
        state.evaluations_without_gain += 1
    job.log(
        f"step {state.step}: validation loss {value:.4f}" + (" (best so far)" if state.best_step == state.step else "")
    )
    if sample is not None:
        state_of_dice = torch.get_rng_state()
        sample(state.step)
        torch.set_rng_state(state_of_dice)


def _optimizer(weights: dict[str, torch.nn.Parameter], cfg: FitConfig) -> torch.optim.Optimizer:
    # One group a parameter, in the order of `weights`: a checkpoint names optimiser state by position.
    groups = [{"params": [p], "weight_decay": cfg.weight_decay if p.ndim >= 2 else 0.0} for p in weights.values()]
    return torch.optim.AdamW(groups, lr=cfg.learning_rate, betas=(0.9, 0.99), foreach=False)


class _Best:
    """The best weights so far, on disk, so that an interruption does not lose them."""

    def __init__(self, path: Path, weights: dict[str, torch.nn.Parameter]):
        self.path = path
        self.weights = weights

    def keep(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        save_file({n: p.detach().cpu().contiguous() for n, p in self.weights.items()}, temporary)
        temporary.replace(self.path)

    def restore(self) -> None:
        if self.path.is_file():
            with torch.no_grad():
                for name, tensor in load_file(self.path).items():
                    self.weights[name].copy_(tensor)
