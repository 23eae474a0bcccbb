"""Whether one way of training is better than another at the same budget: paired, over several seeds, and said plainly."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from endonym.data.statistics import paired, ratio
from endonym.models.generate import answer_nll
from endonym.models.load import load_model
from endonym.store import events
from endonym.store.files import write_json
from endonym.train.fit import Course, fit
from endonym.train.losses import next_token
from endonym.train.network import attention, ready
from endonym.train.recipe import Build, Prepared
from endonym.train.settings import FitConfig

if TYPE_CHECKING:
    from endonym.jobs.job import Job

STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""97.5 % quantiles of Student's t with 1 to 9 degrees of freedom (Student, The Probable Error of a Mean, Biometrika 1908)."""


@dataclass(frozen=True)
class Outcome:
    """One finished run: what its model needs for each validation answer, and how it came there."""

    nats: Sequence[float]
    bytes: Sequence[int]
    learned_tokens: int
    curve: Mapping[int, float]
    """Validation loss by step."""

    @property
    def bits_per_byte(self) -> float:
        return sum(self.nats) / math.log(2) / max(1, sum(self.bytes))


def compare(
    cfg: FitConfig,
    seeds: int,
    prepared: Prepared,
    build: Callable[[Any], Build],
    ways: Mapping[str, Callable[[int], Course]],
    job: Job,
) -> dict[str, Any] | None:
    """Train both of two ways with `seeds` seeds and judge them; None when that was cancelled.

    `ways` gives the course for a seed. The first way with the seed of `cfg` is the run that made the job's own model.
    """
    outcomes: dict[str, list[Outcome]] = {way: [] for way in ways}
    runs = [(way, seed) for seed in range(cfg.seed, cfg.seed + seeds) for way in ways]
    for number, (way, seed) in enumerate(runs, 1):
        part = f"{way.replace(' ', '-')}-{seed}" if number > 1 else ""
        job.log(f"for the verdict, run {number} of {len(runs)}: {way}, seed {seed}")
        own = cfg.model_copy(update={"seed": seed})
        kept = job.folder / "checkpoints" / (part or "main")
        found = finished(kept, partial(trial, part, own, prepared, build(own), ways[way](seed), job))
        if found is None:
            return None
        outcomes[way].append(found)
    first, second = ways
    return judge(outcomes[first], outcomes[second], (first, second))


def finished(folder: Path, run: Callable[[], Outcome | None]) -> Outcome | None:
    """The outcome kept in `folder`, or else that of `run`, which is kept; None where the run was cancelled.

    The checkpoints of a run that is done are deleted: with several seeds they would fill a disk.
    """
    kept = folder / "outcome.json"
    if kept.is_file():
        found = json.loads(kept.read_text(encoding="utf-8"))
        return Outcome(**{**found, "curve": {int(step): value for step, value in found["curve"].items()}})
    made = run()
    if made is not None:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(kept, vars(made))
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path != kept:
                path.unlink()
    return made


def trial(part: str, cfg: FitConfig, prepared: Prepared, build: Build, course: Course, job: Job) -> Outcome | None:
    """Train a network anew from the project's base with the seed of `cfg`; None when the user asked to stop."""
    rows, valid, shown = prepared
    torch.manual_seed(cfg.seed)
    loaded = load_model(job.project.base, dtype=cfg.dtype)
    network = build(loaded)
    loaded = ready(loaded, network)
    result = fit(network, rows, valid, next_token, cfg, job, part=part, course=course)
    if result.cancelled:
        return None
    network.eval()
    with attention(network, "sdpa"):
        found = answer_nll(loaded, shown)
    curve = events.curve(job.project.db, job.id, f"{part}/valid_loss" if part else "valid_loss")
    return Outcome([nats for nats, _ in found], [size for _, size in found], result.learned_tokens, dict(curve))


def judge(first: Sequence[Outcome], second: Sequence[Outcome], names: tuple[str, str]) -> dict[str, Any]:
    """Compare two ways of training by validation bits per byte, run by run with the same seed.

    A difference counts when its interval over seeds (Student's t on paired differences) and its interval over validation rows
    (paired bootstrap) both leave out zero: the first asks whether other seeds would agree, the second whether other texts would.
    """
    differences = [a.bits_per_byte - b.bits_per_byte for a, b in zip(first, second, strict=True)]
    value = float(np.mean(differences))
    low, high = over_seeds(differences)
    rows = paired(_table(first), _table(second), ratio)
    better = max(high, rows.high) < 0
    worse = min(low, rows.low) > 0
    result = {
        "measure": "bits per byte of the validation answers, lower is better",
        names[0]: [a.bits_per_byte for a in first],
        names[1]: [b.bits_per_byte for b in second],
        "difference": value,
        "over_seeds": [low, high] if math.isfinite(low) else None,
        "over_rows": [rows.low, rows.high],
        "seeds": len(differences),
        "rows": rows.num_items,
        "learned_tokens": {names[0]: [a.learned_tokens for a in first], names[1]: [b.learned_tokens for b in second]},
        "caught_up_at": [_caught_up(a, b) for a, b in zip(first, second)],
        "verdict": "better" if better else "worse" if worse else "no difference shown",
    }
    return {**result, "text": _sentence(result, names)}


def over_seeds(differences: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean of paired differences; without bounds for a single one."""
    number = len(differences)
    value = float(np.mean(differences))
    if number < 2:
        return -math.inf, math.inf
    half = STUDENT[number - 2] * float(np.std(differences, ddof=1)) / math.sqrt(number)
    return value - half, value + half


def _table(runs: Sequence[Outcome]) -> np.ndarray:
    """Bits and bytes `[rows, 2]`, summed over the seeds."""
    bits = np.sum([run.nats for run in runs], axis=0) / math.log(2)
    return np.column_stack([bits, np.sum([run.bytes for run in runs], axis=0).astype(float)])


def _caught_up(first: Outcome, second: Outcome) -> dict[str, int | None]:
    """The step at which the second run was best, and the first step at which the first run was as good."""
    best = min(second.curve.values())
    at = min(step for step, value in second.curve.items() if value == best)
    return {
        "best_of_second": at,
        "reached_by_first": min((s for s, v in first.curve.items() if v <= best), default=None),
    }


def _sentence(result: Mapping[str, Any], names: tuple[str, str]) -> str:
    means = {name: float(np.mean(result[name])) for name in names}
    seeds = result["over_seeds"]
    said = (
        "no interval over one seed"
        if seeds is None
        else f"{seeds[0]:+.4f} to {seeds[1]:+.4f} over {result['seeds']} seeds"
    )
    rows = result["over_rows"]
    end = {
        "better": f"{names[0]} helped",
        "worse": f"{names[0]} did harm",
        "no difference shown": f"no, {names[0]} did not measurably help",
    }[result["verdict"]]
    return (
        f"{names[0]} {means[names[0]]:.4f} bits per byte, {names[1]} {means[names[1]]:.4f}; difference {result['difference']:+.4f} "
        f"(95 %: {said}, {rows[0]:+.4f} to {rows[1]:+.4f} over {result['rows']} rows): {end}"
    )
