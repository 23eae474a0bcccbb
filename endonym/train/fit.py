"""The one training loop: token-normalised steps over packed rows, evaluation, checkpoints, early stopping, exact resume."""

from __future__ import annotations

import math
import resource
import statistics
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
from endonym.store.room import Room
from endonym.train import checkpoint
from endonym.train.batches import Cursor, Packed, micro_batches, pack, steps
from endonym.train.checkpoint import State
from endonym.train.network import standing
from endonym.train.settings import FitConfig

if TYPE_CHECKING:
    from endonym.jobs.job import Job

Loss = Callable[[torch.nn.Module, Packed], torch.Tensor]
"""Summed loss over the learned tokens of a pack."""

RECENT = 16
"""Steps whose losses say what is usual."""

MOST_SKIPPED = 8
"""Steps whose rows may be passed over before a run counts as diverging."""


@dataclass(frozen=True)
class Rows:
    """Rendered rows with how often each is seen per epoch, and where each comes from."""

    examples: Sequence[Example]
    weights: Sequence[float]
    origins: Sequence[str]


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
    skipped: Sequence[str]
    """Where the rows come from that were passed over because their loss was not credible."""


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
    unbroken run on a CPU. A step whose loss or gradient is no number, or whose loss leaps, is not taken: the run goes back to
    the last checkpoint, and if the step fails again, its rows are passed over and named in the ledger. While the disk is full
    the run waits. Raises JobError when `MOST_SKIPPED` steps have failed.
    """
    torch.manual_seed(cfg.seed)
    weights = {n: p for n, p in model.named_parameters() if p.requires_grad}
    optimizer = _optimizer(weights, cfg)
    folder = job.folder / "checkpoints"
    room = Room(job.folder, job.log, job.cancelled)
    best = _Best(folder, weights)

    def save() -> None:
        room.run("the checkpoint", lambda: checkpoint.save(folder, state, weights, optimizer, list(weights)))
        best.retire()

    def evaluate() -> None:
        _evaluate(model, valid, loss, cfg, job, state)
        if state.best_step == state.step:
            room.run("the best model so far", lambda: best.keep(state.step))
        if sample is not None:
            dice = torch.get_rng_state()
            sample(state.step)
            torch.set_rng_state(dice)

    state, found = State(), checkpoint.newest(folder)
    if found is not None:
        state = checkpoint.load(found, weights, optimizer, list(weights))
        job.log(f"going on from the checkpoint of step {state.step}")
    else:
        evaluate()
        save()
    total = min(cfg.steps, cfg.max_steps or cfg.steps)
    source = steps(len(train.examples), train.weights, cfg.batch_size, cfg.seed, state.cursor)
    pace, stopped, cancelled = _Pace(), False, False
    suspects: set[Cursor] = set()
    while state.step < total and not stopped and not cancelled:
        chosen, cursor = next(source)
        taken = _step(model, [train.examples[i] for i in chosen], loss, optimizer, weights, state, cfg)
        if not taken.fine:
            if state.cursor in suspects:
                _skip(state, cursor, taken.loss, [train.origins[i] for i in chosen], job)
            else:
                suspects.add(state.cursor)
                job.log(f"step {state.step + 1}: loss {taken.loss:g} is not credible; back to the last checkpoint")
                state = checkpoint.load(_last(folder), weights, optimizer, list(weights))
                source = steps(len(train.examples), train.weights, cfg.batch_size, cfg.seed, state.cursor)
            continue
        state.step, state.cursor, state.learned_tokens = state.step + 1, cursor, state.learned_tokens + taken.learned
        state.recent = [*state.recent, taken.loss][-RECENT:]
        rate = pace.add(taken.seen)
        job.metric("loss", taken.loss, state.step)
        job.tick(
            state.step, total, "steps",
            loss=round(taken.loss, 4), tokens_per_second=round(rate), memory_bytes=peak_bytes(),
        )  # fmt: skip
        last = state.step >= total
        if state.step % cfg.evaluate_every == 0 or last:
            evaluate()
            stopped = bool(cfg.patience) and state.evaluations_without_gain >= cfg.patience
        cancelled = not last and job.cancelled()
        if state.step % cfg.save_every == 0 or last or stopped or cancelled:
            save()
    room.release()
    if cancelled:
        job.log(f"stopped at step {state.step} as asked; the checkpoint is saved")
    else:
        best.restore(state.best_step)
    return Fitted(state.step, state.best_step, state.best_loss, cancelled, pace.rate, peak_bytes(), state.skipped)


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


@dataclass(frozen=True)
class _Taken:
    """What came of a step: mean loss, tokens seen and learned, and whether the weights were changed."""

    loss: float
    seen: int
    learned: int
    fine: bool


def _step(
    model: torch.nn.Module,
    examples: Sequence[Example],
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    weights: dict[str, torch.nn.Parameter],
    state: State,
    cfg: FitConfig,
) -> _Taken:
    """One optimiser step, or none when its loss or gradient is not credible."""
    model.train()
    device = next(model.parameters()).device
    packs = [pack(rows, device) for rows in micro_batches(examples, cfg.batch_tokens)]
    learned = sum(p.num_learned for p in packs)
    total = 0.0
    for batch in packs:
        with standing(model):
            part = loss(model, batch)
            (part / learned).backward()
        total += float(part.detach())
    norm = torch.nn.utils.get_total_norm([p.grad for p in weights.values() if p.grad is not None])
    fine = math.isfinite(float(norm)) and credible(total / learned, state.recent)
    if fine:
        if cfg.clip:
            torch.nn.utils.clip_grads_with_norm_(weights.values(), cfg.clip, norm)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(state.step, cfg)
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return _Taken(total / learned, sum(p.num_tokens for p in packs), learned, fine)


def credible(value: float, recent: Sequence[float]) -> bool:
    """Whether a step's loss is a number and no leap: above twice the median of the recent ones plus one nat, and far outside
    their spread (twelve median absolute deviations)."""
    if not math.isfinite(value):
        return False
    if len(recent) < RECENT:
        return True
    middle = statistics.median(recent)
    spread = statistics.median(abs(x - middle) for x in recent)
    return value <= max(2 * middle + 1, middle + 12 * spread)


def _skip(state: State, cursor: Cursor, value: float, origins: Sequence[str], job: Job) -> None:
    """Pass over the rows of a step that failed twice; raises JobError when that has happened too often."""
    state.skipped = [*state.skipped, *origins]
    state.skips, state.cursor = state.skips + 1, cursor
    listed = ", ".join(sorted(set(origins)))
    job.event("warning", text=f"the rows of step {state.step + 1} were passed over, their loss is {value:g}: {listed}")
    if state.skips > MOST_SKIPPED:
        raise JobError(
            f"the loss of step {state.step + 1} is not credible ({value:g}), and {MOST_SKIPPED} steps before it failed as well",
            "Resume with a lower --learning-rate; the last good checkpoint is kept.",
        )


def _last(folder: Path) -> Path:
    found = checkpoint.newest(folder)
    if found is None:
        raise JobError("no checkpoint of this run is whole any more", "Start it again: its first steps are repeated.")
    return found


def _evaluate(
    model: torch.nn.Module, valid: Sequence[Example], loss: Loss, cfg: FitConfig, job: Job, state: State
) -> None:
    value = mean_loss(model, valid, loss, cfg.batch_tokens)
    job.metric("valid_loss", value, state.step)
    if value < state.best_loss:
        state.best_loss, state.best_step, state.evaluations_without_gain = value, state.step, 0
    else:
        state.evaluations_without_gain += 1
    job.log(
        f"step {state.step}: validation loss {value:.4f}" + (" (best so far)" if state.best_step == state.step else "")
    )


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
