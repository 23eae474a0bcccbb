"""The one training loop: token-normalised steps over packed rows, evaluation, checkpoints, early stopping, exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from endonym.errors import JobError
from endonym.models.render import Example
from endonym.store.room import Room
from endonym.train import checkpoint, recovery
from endonym.train.batches import Cursor, Loss, order, steps
from endonym.train.checkpoint import State
from endonym.train.held import Bound, peak_bytes
from endonym.train.kept import Kept, RunningMean
from endonym.train.network import recompute
from endonym.train.settings import FitConfig
from endonym.train.sharded import Shared, gathered, world
from endonym.train.step import RECENT, Taken, adamw, mean_loss, take

if TYPE_CHECKING:
    from endonym.jobs.job import Job

MOST_SKIPPED = 8
"""Steps whose rows may be passed over before a run counts as diverging."""


@dataclass(frozen=True)
class Rows:
    """Rendered rows with how often each is seen per epoch, where each comes from, the id of its chat, and what is measured on them."""

    examples: Sequence[Example]
    weights: Sequence[float]
    origins: Sequence[str]
    chats: Sequence[str]
    alike: Sequence[Example] = ()
    """Training rows rendered as the validation examples are, of each task and direction as many: the training loss is theirs."""
    bytes_per_token: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """UTF-8 bytes of learned text a learned token in training rows, validation examples and `alike`: makes nats a token bits a byte."""


@dataclass(frozen=True)
class Course:
    """What a run does besides taking rows as they are in random order."""

    rows_of: Callable[[int], list[int]] | None = None
    """Row numbers of an epoch in their order; must depend on nothing but the epoch. None is random order."""
    ends: Mapping[int, Callable[[], object]] = field(default_factory=dict)
    """What is done at the end of these steps, which are evaluated before and saved after."""
    disturbed: Callable[[Example, str], Example] = lambda example, place: example
    """How a row is seen at a place of the run; must depend on nothing else."""


RANDOM = Course()


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
    averaged: int
    """How many evaluations' weights the kept ones are the mean of; 0 when those of the best step were better."""
    running_mean: bool
    """Whether the kept weights are the running mean of the best step."""
    learned_tokens: int
    tokens: int
    """Tokens the network has seen in training, interruptions included."""
    seconds: float
    """Time spent in steps, interruptions included."""
    train_loss: float
    """Loss of the kept weights on `Rows.alike`, as `best_loss` is measured; no number when there are none."""
    bytes_per_token: tuple[float, float, float]


def fit(
    model: torch.nn.Module,
    train: Rows,
    valid: Sequence[Example],
    loss: Loss,
    cfg: FitConfig,
    job: Job,
    sample: Callable[[int], None] | None = None,
    part: str = "",
    course: Course = RANDOM,
) -> Fitted:
    """Train the parameters of `model` that require gradients, leaving it with the best weights found.

    A step's loss is the sum over its rows' learned tokens divided by their number, whatever the packing. Goes on from the
    newest checkpoint that verifies in the job's `checkpoints/`; with the same settings the result is bit-identical to an
    unbroken run on a CPU. A step whose loss or gradient is no number, or whose loss leaps, is not taken: the run goes back to
    the last checkpoint, and if the step fails again, its rows are passed over and named in the ledger. While the disk is full
    the run waits; after it ran out of memory, fewer tokens are computed at once. Raises JobError when `MOST_SKIPPED` steps have
    failed.

    A job of several runs names each by `part`: it has checkpoints and curves of its own, and a finished one is not repeated. Each of
    several devices runs this, with its share of packs and weights (`train/sharded.py`); the first writes, and writes what is whole.
    """
    cfg = recovery.read(job.folder).applied(cfg)
    run = _Run(model, valid, loss, cfg, job, sample, part)
    run.begin()
    total = cfg.last_step
    rows_of = course.rows_of or partial(order, len(train.examples), train.weights, cfg.seed)
    source = steps(rows_of, cfg.batch_size, run.state.cursor)
    pace, cancelled, stopped = _Pace(), False, run.stale()
    bound = Bound(getattr(model, "foretold_bytes", peak_bytes()))
    suspects: set[Cursor] = set()
    while run.state.step < total and not stopped and not cancelled:
        chosen, cursor = next(source)
        state = run.state
        place = f"{state.cursor.epoch}:{state.cursor.row}"
        rows = [course.disturbed(train.examples[i], f"{place}:{n}") for n, i in enumerate(chosen)]
        began = time.monotonic()
        taken = run.take(rows, bound.look)
        if not taken.fine and state.cursor in suspects:
            _skip(state, cursor, taken.loss, [train.origins[i] for i in chosen], job)
            continue
        if not taken.fine:
            suspects.add(state.cursor)
            run.go_back(taken.loss)
            source = steps(rows_of, cfg.batch_size, run.state.cursor)
            continue
        run.went(taken, cursor, time.monotonic() - began)
        run.report(taken.loss, total, pace.add(taken.seen))
        last, ended = state.step >= total, course.ends.get(state.step)
        if state.step % cfg.evaluate_every == 0 or last or ended:
            run.evaluate()
            stopped = run.stale()
        cancelled = bool(world().sums(not last and job.cancelled())[0])
        if ended:
            ended()
        if state.step % cfg.save_every == 0 or last or ended or stopped or cancelled:
            run.save()
    return run.fitted(train, pace.rate, cancelled)


class _Run:
    """A model in training with what it needs to be set back: optimiser, state, and weights of single steps on disk."""

    def __init__(
        self,
        model: torch.nn.Module,
        valid: Sequence[Example],
        loss: Loss,
        cfg: FitConfig,
        job: Job,
        sample: Callable[[int], None] | None,
        part: str,
    ):
        torch.manual_seed(cfg.seed + world().rank)
        if recovery.read(job.folder).recompute:
            recompute(model)
        self.shared = Shared(model, loss)
        self.model, self.loss, self.weights = self.shared.model, self.shared.loss, self.shared.weights
        self.valid, self.cfg, self.job, self.sample = valid, cfg, job, sample
        self.optimizer = adamw(self.weights, cfg, getattr(model, "rates", None))
        self.folder = Path(world().first(lambda: job.folder / "checkpoints" / part))
        self.curves = f"{part}/" if part else ""
        self.room = Room(job.folder, self.recovered, job.cancelled)
        self.best, self.recent = Kept("best", self.folder, self.weights), Kept("recent", self.folder, self.weights)
        self.mean = RunningMean(self.weights, cfg.ema)
        self.state = State()

    def begin(self) -> None:
        """Go on from the newest checkpoint, or rehearse an evaluation and a save before the first step."""
        if self._set_back():
            self.job.log(f"going on from the checkpoint of step {self.state.step}")
            return
        begun = time.monotonic()
        self.evaluate()
        size = sum(file.stat().st_size for file in self.save().iterdir())
        detail = f"{time.monotonic() - begun:.1f} s, {size / 1e6:.1f} MB a checkpoint"
        self.job.event("check", name="an evaluation and a save work", passed=True, detail=detail)
        self.job.log(f"ok: an evaluation and a save work ({detail})")

    def save(self) -> Path:
        """Write a checkpoint, then delete what no checkpoint can ask for any more."""

        files = checkpoint.collected(self.weights, self.optimizer, self.mean.weights)

        def write() -> Path:
            saved = self.room.run("the checkpoint", lambda: checkpoint.save(self.folder, self.state, files))
            self.best.retire(min(checkpoint.best_steps(self.folder)))
            wanted = self.recent.steps(checkpoint.oldest_step(self.folder))[-self.cfg.average :]
            self.recent.retire(min(wanted, default=0))
            return saved

        return Path(world().first(write))

    def go_back(self, loss: float) -> None:
        """Set everything back to the last checkpoint that is whole."""
        self.recovered(f"step {self.state.step + 1}: loss {loss:g} is not credible; back to the last checkpoint")
        if not self._set_back():
            raise JobError("no checkpoint of this run is whole any more", "Resume the job: it begins anew.")

    def recovered(self, text: str) -> None:
        """Tell of an accident and what is done about it, to the reader of the log and to the job that waits for this one."""
        self.job.log(text)
        self.job.event("recovery", text=text)

    def _set_back(self) -> bool:
        """Take everything from the newest checkpoint that is whole; False where there is none."""
        found = world().first(lambda: checkpoint.newest(self.folder))
        if found is not None:
            self.state = checkpoint.load(Path(found), self.weights, self.optimizer, self.mean.weights)
        return found is not None

    def evaluate(self) -> None:
        """Measure the validation loss, keep the weights that want keeping, and show samples."""
        state, cfg = self.state, self.cfg
        value = self._measured("valid_loss")
        said, of_mean = f"step {state.step}: validation loss {value:.4f}", False
        if self.mean.weights:
            with self.mean.inside():
                smooth = self._measured("mean_valid_loss")
            said += f", of the running mean {smooth:.4f}"
            value, of_mean = min(value, smooth), smooth < value
        better = value < state.best_loss
        if better:
            state.best_loss, state.best_step, state.evaluations_without_gain = value, state.step, 0
            state.best_is_mean = of_mean
            self._keep(self.best, "the best model so far", self.mean.weights if of_mean else self.weights)
        else:
            state.evaluations_without_gain += 1
        if cfg.average:
            self._keep(self.recent, "the model of this evaluation", self.weights)
        self.job.log(said + (" (best so far)" if better else ""))
        if self.sample is not None:
            with self.shared.whole():
                world().first(self._show)

    def _measured(self, curve: str) -> float:
        """The validation loss of the weights as they are now, put into a curve."""
        value = mean_loss(self.model, self.valid, self.loss, self.cfg.batch_tokens)
        self.job.metric(f"{self.curves}{curve}", value, self.state.step)
        return value

    def _keep(self, kept: Kept, what: str, tensors: Mapping[str, torch.Tensor]) -> None:
        """Write weights to a file of their own."""
        weights = gathered(tensors)
        world().first(lambda: self.room.run(what, lambda: kept.keep(self.state.step, weights)))

    def _show(self) -> None:
        """Show samples, and leave the random numbers as they were."""
        assert self.sample is not None
        dice = torch.get_rng_state()
        self.sample(self.state.step)
        torch.set_rng_state(dice)

    def take(self, rows: Sequence[Example], after_pack: Callable[[], object]) -> Taken:
        """Take the next step on `rows`, or none where it is not credible (`step.take`)."""
        state = self.state
        return take(
            self.model, rows, self.loss, self.optimizer, self.weights, state.step, state.recent, self.cfg, after_pack,
            state.scale,
        )  # fmt: skip

    def went(self, taken: Taken, cursor: Cursor, seconds: float) -> None:
        """Count a step that was taken, up to `cursor`."""
        state = self.state
        state.step, state.cursor, state.learned_tokens = state.step + 1, cursor, state.learned_tokens + taken.learned
        state.tokens, state.seconds = state.tokens + taken.seen, state.seconds + seconds
        state.recent, state.scale = [*state.recent, taken.loss][-RECENT:], taken.scale
        self.mean.follow(state.step)

    def report(self, loss: float, total: int, rate: float) -> None:
        """Put a step into the curve and the progress."""
        step = self.state.step
        if step % self.cfg.log_every == 0 or step == total:
            self.job.metric(f"{self.curves}loss", loss, step)
        self.job.tick(
            step, total, "steps", loss=round(loss, 4), tokens_per_second=round(rate), memory_bytes=peak_bytes()
        )

    def stale(self) -> bool:
        """Whether the validation loss has not fallen for as long as the settings allow."""
        return bool(self.cfg.patience) and self.state.evaluations_without_gain >= self.cfg.patience

    def end(self, cancelled: bool) -> tuple[float, int]:
        """Leave the model with its best weights, or with the mean of the last evaluations' where that is better.

        Returns their validation loss and how many were averaged, 0 for none. Averaging the end of one run: Izmailov and
        others, Averaging Weights Leads to Wider Optima and Better Generalization (UAI 2018).
        """
        self.room.release()
        state = self.state
        if cancelled:
            self.job.log(f"stopped at step {state.step} as asked; the checkpoint is saved")
            return state.best_loss, 0
        last = world().first(lambda: self.recent.steps(state.step))[-self.cfg.average :] if self.cfg.average else []
        if len(last) > 1:
            self.recent.restore(*last)
            value = mean_loss(self.model, self.valid, self.loss, self.cfg.batch_tokens)
            better = value < state.best_loss
            self.job.log(
                f"the mean of the weights of steps {', '.join(map(str, last))} has validation loss {value:.4f}, the best "
                f"step {state.best_step} {state.best_loss:.4f}: the {'mean' if better else 'best step'} is kept"
            )
            if better:
                return value, len(last)
        self.best.restore(state.best_step)
        return state.best_loss, 0

    def fitted(self, train: Rows, rate: float, cancelled: bool) -> Fitted:
        """How the run ended, the model left with the weights that are kept."""
        best_loss, averaged = self.end(cancelled)
        measured = train.alike and not cancelled
        train_loss = mean_loss(self.model, train.alike, self.loss, self.cfg.batch_tokens) if measured else math.nan
        self.shared.end()
        state = self.state
        return Fitted(
            state.step, state.best_step, best_loss, cancelled, rate, peak_bytes(), state.skipped, averaged,
            state.best_is_mean and not averaged, state.learned_tokens, state.tokens, state.seconds, train_loss, train.bytes_per_token,
        )  # fmt: skip


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
