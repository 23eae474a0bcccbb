"""Which of several ways to train is better, said plainly: two ways over several seeds, or any number of arms trained once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from endonym.data.statistics import RESAMPLES, SEED, SIGNIFICANT, interval, paired, ratio
from endonym.train.trials import Outcome

STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""97.5 % quantiles of Student's t with 1 to 9 degrees of freedom (Student, The Probable Error of a Mean, Biometrika 1908)."""


def between_ways(outcomes: Mapping[str, Sequence[Outcome]]) -> dict[str, Any]:
    """Compare two ways of training by validation bits per byte, run by run with the same seed.

    A difference counts when its interval over seeds (Student's t on paired differences) and its interval over validation rows
    (paired bootstrap) both leave out zero: the first asks whether other seeds would agree, the second whether other texts would.
    """
    (name, first), (other, second) = outcomes.items()
    differences = [a.bits_per_byte - b.bits_per_byte for a, b in zip(first, second, strict=True)]
    low, high = over_seeds(differences)
    rows = paired(_summed(first), _summed(second), ratio)
    better = max(high, rows.high) < 0
    worse = min(low, rows.low) > 0
    result = {
        "measure": "bits per byte of the validation answers, lower is better",
        **{way: [run.bits_per_byte for run in runs] for way, runs in outcomes.items()},
        "difference": float(np.mean(differences)),
        "over_seeds": [low, high] if math.isfinite(low) else None,
        "over_rows": [rows.low, rows.high],
        "seeds": len(differences),
        "rows": rows.num_items,
        "learned_tokens": {way: [run.learned_tokens for run in runs] for way, runs in outcomes.items()},
        "caught_up_at": [_caught_up(a, b) for a, b in zip(first, second)],
        "verdict": "better" if better else "worse" if worse else "no difference shown",
    }
    return {**result, "text": _sentence(result, name, other)}


def over_seeds(differences: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean of paired differences; without bounds for a single one."""
    number = len(differences)
    value = float(np.mean(differences))
    if number < 2:
        return -math.inf, math.inf
    half = STUDENT[number - 2] * float(np.std(differences, ddof=1)) / math.sqrt(number)
    return value - half, value + half


def between_arms(outcomes: Mapping[str, Outcome], notes: Sequence[str]) -> dict[str, Any]:
    """Compare arms that spent the same compute; the winner is the one significantly better than every other.

    The test is the paired bootstrap over answers. It says nothing of how another seed would have come out: an arm is trained once.
    Who must beat all others needs no correction for their number (intersection-union test: Berger, Technometrics 1982).
    """
    tables = {name: _summed([made]) for name, made in outcomes.items()}
    arms: dict[str, dict[str, Any]] = {}
    for name, made in outcomes.items():
        value, low, high = interval(tables[name], ratio)
        about = {k: v for k, v in asdict(made).items() if k not in ("answers", "curve")}
        arms[name] = {"bits_per_byte": value, "low": low, "high": high, **about}
    ordered = sorted(arms, key=lambda name: arms[name]["bits_per_byte"])
    pairs, beaten = [], 0
    for n, first in enumerate(ordered):
        for second in ordered[n + 1 :]:
            found = paired(tables[first], tables[second], ratio)
            pairs.append({"first": first, "second": second, **asdict(found)})
            beaten += n == 0 and found.value < 0 and found.p_value < SIGNIFICANT
    winner = ordered[0] if beaten == len(ordered) - 1 else None
    gap = pairs[0]
    margin = f"{-gap['value']:.4f} ({-gap['high']:.4f} to {-gap['low']:.4f}, p={gap['p_value']:.3f})"
    verdict = (
        f"{winner} is significantly better than every other, than {ordered[1]} by {margin}"
        if winner
        else f"no winner: {ordered[0]} leads {ordered[1]} by {margin}, and not every lead is more than chance"
    )
    told = ", ".join(f"{name} {arms[name]['bits_per_byte']:.4f}" for name in ordered)
    return {
        "metric": "bits per byte of validation answers; lower is better",
        "signature": f"bits_per_byte|bytes:utf-8|agg:micro|test:paired-bootstrap|bs:{RESAMPLES}|rs:{SEED}|flops:6NT",
        "answers": gap["num_items"], "arms": arms, "pairs": pairs, "winner": winner, "verdict": verdict,
        "text": f"bits per byte of {gap['num_items']} validation answers: {told}. At equal compute {verdict}",
        "notes": ["Each arm was trained once: the intervals are over answers, not over seeds.", *notes],
    }  # fmt: skip


def _summed(runs: Sequence[Outcome]) -> np.ndarray:
    """Bits and bytes `[answers, 2]`, summed over runs."""
    return np.sum([np.asarray(run.answers, dtype=np.float64) for run in runs], axis=0)


def _caught_up(first: Outcome, second: Outcome) -> dict[str, float | None]:
    """The step at which the second run was best, and the first step at which the first run was as good."""
    best = min(loss for _, loss in second.curve)
    return {
        "best_of_second": min(step for step, loss in second.curve if loss == best),
        "reached_by_first": min((step for step, loss in first.curve if loss <= best), default=None),
    }


def _sentence(result: Mapping[str, Any], name: str, other: str) -> str:
    seeds = result["over_seeds"]
    said = (
        "no interval over one seed"
        if seeds is None
        else f"{seeds[0]:+.4f} to {seeds[1]:+.4f} over {result['seeds']} seeds"
    )
    rows = result["over_rows"]
    end = {
        "better": f"{name} helped",
        "worse": f"{name} did harm",
        "no difference shown": f"no, {name} did not measurably help",
    }[result["verdict"]]
    return (
        f"{name} {np.mean(result[name]):.4f} bits per byte, {other} {np.mean(result[other]):.4f}; difference "
        f"{result['difference']:+.4f} (95 %: {said}, {rows[0]:+.4f} to {rows[1]:+.4f} over {result['rows']} rows): {end}"
    )
