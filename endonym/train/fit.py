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
from safetensors.torch import load_file, save_file

from endonym.errors import JobError
from endonym.models.render import Example
from endonym.train import checkpoint
from endonym.train.batches import Packed, micro_batches, pack, steps
from endonym.train.checkpoint import State
from endonym.train.settings import FitConfig

if TYPE_CHECKING:
    from endonym.jobs.job import Job

Loss = Callable[[torch.nn.Module, Packed], torch.Tensor]
"""Summed loss over the learned tokens of a pack."""


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
    weights = {n: p for n, p in model.named_parameters() if p.requires_grad}
    names = list(weights)
    optimizer = _optimizer(weights, cfg)
    folder = job.folder / "checkpoints"
    best = _Best(folder, weights)
    state, found = State(), checkpoint.newest(folder)
    if found is not None:
        state = checkpoint.load(found, weights, optimizer, names)
        job.log(f"going on from the checkpoint of step {state.step}")
    total = min(cfg.steps, cfg.max_steps or cfg.steps)
    source = steps(len(train.examples), train.weights, cfg.batch_size, cfg.seed, state.cursor)
    pace, stopped, cancelled = _Pace(), False, False
    if state.step == 0:
        _evaluate(model, valid, loss, cfg, job, state, best, sample)
    while state.step < total and not stopped and not cancelled:
        chosen, cursor = next(source)
        rows = [train.examples[i] for i in chosen]
        value, seen, learned = _step(model, rows, loss, optimizer, weights, state.step, cfg)
        if not math.isfinite(value):
            raise JobError(
                f"the loss of step {state.step + 1} is not a number",
                "Resume with a lower --learning-rate; the last good checkpoint is kept.",
            )
        state.step, state.cursor, state.learned_tokens = state.step + 1, cursor, state.learned_tokens + learned
        rate = pace.add(seen)
        job.metric("loss", value, state.step)
        job.tick(
            state.step, total, "steps", loss=round(value, 4), tokens_per_second=round(rate), memory_bytes=peak_bytes()
        )
        last = state.step >= total
        if state.step % cfg.evaluate_every == 0 or last:
            _evaluate(model, valid, loss, cfg, job, state, best, sample)
            stopped = bool(cfg.patience) and state.evaluations_without_gain >= cfg.patience
        cancelled = not last and job.cancelled()
        if state.step % cfg.save_every == 0 or last or stopped or cancelled:
            checkpoint.save(folder, state, weights, optimizer, names)
            best.retire()
    if cancelled:
        job.log(f"stopped at step {state.step} as asked; the checkpoint is saved")
    else:
        best.restore(state.best_step)
    return Fitted(state.step, state.best_step, state.best_loss, cancelled, pace.rate, peak_bytes())


class _Pace:
    """Tokens per second since this process began to train."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.tokens = 0
        self.rate = 0.0

    def add(self, tokens: int) -> float:
        self.tokens += tokens
        self.rate = self.tokens / max(time.monotonic() - self.started, 1e-9)
        return self.rate


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
) -> tuple[float, int, int]:
    """One optimiser step; returns (mean loss, tokens seen, tokens learned)."""
    model.train()
    device = next(model.parameters()).device
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
        best.keep(state.step)
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
    """The best weights so far, on disk, so that an interruption does not lose them.

    The file carries its step: a run that is set back to an older checkpoint must not end with weights it has not reached.
    """

    def __init__(self, folder: Path, weights: dict[str, torch.nn.Parameter]):
        self.folder = folder
        self.weights = weights

    def keep(self, step: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self._path(step)
        temporary = target.with_suffix(".tmp")
        save_file({n: p.detach().cpu().contiguous() for n, p in self.weights.items()}, temporary)
        temporary.replace(target)

    def retire(self) -> None:
        """Delete the weights that no checkpoint can go back to: those older than every one's best step."""
        oldest = min(checkpoint.best_steps(self.folder))
        for path in self.folder.glob("best-*.safetensors"):
            if path < self._path(oldest):
                path.unlink()

    def restore(self, step: int) -> None:
        with torch.no_grad():
            for name, tensor in load_file(self._path(step)).items():
                self.weights[name].copy_(tensor)

    def _path(self, step: int) -> Path:
        return self.folder / f"best-{step:08d}.safetensors"
