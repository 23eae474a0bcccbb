"""Compare ways of training at equal compute: each is a fit of its own, judged on the same answers in bits per byte."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from endonym.data.statistics import RESAMPLES, SEED, interval, paired, ratio
from endonym.models.generate import answer_nll
from endonym.models.load import Loaded
from endonym.store.files import write_json
from endonym.train.compute import training_flops
from endonym.train.fit import Rows, fit
from endonym.train.losses import next_token
from endonym.train.network import attention, ready
from endonym.train.preflight import preflight
from endonym.train.rows import pieces, spread
from endonym.train.settings import FitConfig
from endonym.types import Chat

if TYPE_CHECKING:
    from endonym.jobs.job import Job

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Arm:
    """One way to spend the compute: whose tokenizer, which network, how many steps."""

    name: str
    loaded: Loaded
    build: Callable[[], Any]
    cfg: FitConfig
    earlier_flops: float = 0.0
    """Compute that went into the network before this job, as far as it is known."""


@dataclass(frozen=True)
class Outcome:
    """What an arm cost, and `[bits, bytes]` of each answer after it."""

    name: str
    steps: int
    best_step: int
    parameters: int
    tokens: int
    flops: float
    earlier_flops: float
    seconds: float
    answers: list[list[float]]


def rows_of(chats: Sequence[Chat], loaded: Loaded, cfg: FitConfig) -> Rows:
    """The training rows as `train/rows.py` makes them, in the tokens of `loaded`."""
    made = [part for chat in chats for part in pieces(chat, loaded.renderer, cfg.max_length)]
    fitting = [(chat, example) for chat, example in made if len(example.ids) <= cfg.max_length]
    parts = [chat for chat, _ in fitting]
    return Rows(
        [example for _, example in fitting], [c.weight for c in parts], [c.origin for c in parts], [c.id for c in parts]
    )


def tokens_per_step(rows: Rows, cfg: FitConfig) -> float:
    """Tokens an optimiser step sees on average."""
    weighted = sum(len(e.ids) * w for e, w in zip(rows.examples, rows.weights, strict=True))
    return cfg.batch_size * weighted / sum(rows.weights)


def common_answers(chats: Sequence[Chat], among: Sequence[Loaded], cfg: FitConfig) -> list[Chat]:
    """The validation chats to judge on: those short enough for every tokenizer."""
    chosen = spread([c for c in chats if c.answer], cfg.valid_rows)
    return [c for c in chosen if all(len(a.renderer.example(c).ids) <= cfg.max_length for a in among)]


def fit_arm(arm: Arm, rows: Rows, chats: Sequence[Chat], job: Job) -> Outcome | None:
    """Train an arm with checkpoints of its own and measure it on `chats`; None when the job was cancelled.

    A finished arm is not trained again when a job goes on: its outcome lies beside its checkpoints.
    """
    done = job.folder / "checkpoints" / arm.name / "outcome.json"
    if done.is_file():
        return Outcome(**json.loads(done.read_text(encoding="utf-8")))
    job.log(f"for comparison, {arm.name}: {arm.cfg.steps} steps")
    network = arm.build()
    loaded = ready(arm.loaded, network)
    valid = [arm.loaded.renderer.example(c) for c in chats]
    preflight(network, rows.examples, next_token, loaded.renderer, arm.cfg, job)
    fitted = fit(network, rows, valid, next_token, arm.cfg, job, part=arm.name)
    if fitted.cancelled:
        return None
    outcome = Outcome(
        arm.name, fitted.steps, fitted.best_step, sum(p.numel() for p in network.parameters()), fitted.tokens,
        training_flops(network, fitted.tokens), arm.earlier_flops, fitted.seconds, answers_of(loaded, chats),
    )  # fmt: skip
    write_json(done, asdict(outcome))
    return outcome


def answers_of(loaded: Loaded, chats: Sequence[Chat]) -> list[list[float]]:
    """`[bits, bytes]` of each chat's answer, without its end marker."""
    was_training = loaded.model.training
    loaded.model.eval()
    with attention(loaded.model, "sdpa"):
        found = answer_nll(loaded, chats)
    loaded.model.train(was_training)
    return [[nats / math.log(2), float(num_bytes)] for nats, num_bytes in found]


def judge(outcomes: Sequence[Outcome], notes: Sequence[str], job: Job) -> str | None:
    """Write `comparison.json`, log the verdict, and return the winner: the arm significantly better than every other.

    The test is the paired bootstrap over answers. It says nothing of how another seed would have come out: an arm is trained once.
    """
    tables = {o.name: np.asarray(o.answers, dtype=np.float64) for o in outcomes}
    arms: dict[str, dict[str, Any]] = {}
    for outcome in outcomes:
        value, low, high = interval(tables[outcome.name], ratio)
        about = {k: v for k, v in asdict(outcome).items() if k not in ("name", "answers")}
        arms[outcome.name] = {"bits_per_byte": value, "low": low, "high": high, **about}
    ordered = sorted(arms, key=lambda name: arms[name]["bits_per_byte"])
    pairs, beaten = [], 0
    for n, first in enumerate(ordered):
        for second in ordered[n + 1 :]:
            found = paired(tables[first], tables[second], ratio)
            pairs.append({"first": first, "second": second, **asdict(found)})
            beaten += n == 0 and found.value < 0 and found.p_value < SIGNIFICANT
    winner = ordered[0] if beaten == len(ordered) - 1 else None
    told = ", ".join(f"{name} {arms[name]['bits_per_byte']:.4f}" for name in ordered)
    gap = pairs[0]
    margin = f"{-gap['value']:.4f} ({-gap['high']:.4f} to {-gap['low']:.4f}, p={gap['p_value']:.3f})"
    verdict = (
        f"{winner} is significantly better than every other, than {ordered[1]} by {margin}"
        if winner
        else f"no winner: {ordered[0]} leads {ordered[1]} by {margin}, and not every lead is more than chance"
    )
    job.log(f"bits per byte of {len(outcomes[0].answers)} validation answers: {told}. At equal compute {verdict}")
    for note in notes:
        job.log(note)
    report = {
        "metric": "bits per byte of validation answers; lower is better",
        "signature": f"bits_per_byte|bytes:utf-8|agg:micro|test:paired-bootstrap|bs:{RESAMPLES}|rs:{SEED}|flops:6NT",
        "answers": len(outcomes[0].answers), "arms": arms, "pairs": pairs, "winner": winner, "verdict": verdict,
        "notes": ["Each arm was trained once: the intervals are over answers, not over seeds.", *notes],
    }  # fmt: skip
    write_json(job.output / "comparison.json", report)
    job.summary(
        winner=winner or "none", **{f"{name}_bits_per_byte": round(arms[name]["bits_per_byte"], 4) for name in ordered}
    )
    return winner


def same_compute(cfg: FitConfig, scale: float, learning_rate: float = 0.0) -> FitConfig:
    """The settings of an arm whose steps cost `1 / scale` of those that `cfg` describes."""
    change: dict[str, Any] = {
        "steps": max(1, round(cfg.steps * scale)),
        "max_steps": max(1, round(cfg.max_steps * scale)) if cfg.max_steps else 0,
        "learning_rate": learning_rate or cfg.learning_rate,
    }
    return cfg.model_copy(update=change)
