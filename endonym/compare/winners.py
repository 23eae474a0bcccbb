"""Compare every run with every other on each measure, and name a winner only when it is significantly better than all of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from endonym.compare.significance import Comparison, Key, difference, judged, key_of, signature_of
from endonym.data.statistics import Difference, holm

CHIEF = ("chrf", "bits_per_byte")
"""Metrics that decide which run is best in all: the first of them that every run has."""


@dataclass(frozen=True)
class Measure:
    """One task, direction and metric over all runs that have it."""

    task: str
    direction: str
    metric: str
    name: str
    higher_is_better: bool
    values: Mapping[str, Mapping[str, float]]
    """By run: value, low, high, n."""
    pairs: Sequence[Comparison]
    winner: str
    """The run that is significantly better than all others, `""` when there is none."""
    best: str
    """The run with the best value, significant or not."""
    unbeaten: Sequence[str]
    """Runs that the best one is not significantly better than."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measures(
    scores: Mapping[str, Sequence[Mapping[str, Any]]],
    sums: Mapping[str, Sequence[dict[str, Any]]],
    alpha: float,
    resamples: int,
    seed: int,
    project: Path,
) -> list[Measure]:
    """Every measure that at least two runs have. `scores` are table rows and `sums` per-item statistics, by run."""
    rows = {run: {key_of(dict(row)): row for row in own} for run, own in scores.items()}
    items = {run: {key_of(row): row for row in own} for run, own in sums.items()}
    found = []
    for key in dict.fromkeys(key for own in rows.values() for key in own):
        having = [run for run in rows if key in rows[run] and key in items[run]]
        if len(having) > 1:
            found.append(_measure(key, having, rows, items, alpha, resamples, seed, project))
    return found


def _measure(
    key: Key,
    runs: Sequence[str],
    rows: Mapping[str, Mapping[Key, Mapping[str, Any]]],
    items: Mapping[str, Mapping[Key, dict[str, Any]]],
    alpha: float,
    resamples: int,
    seed: int,
    project: Path,
) -> Measure:
    up = bool(rows[runs[0]][key]["higher_is_better"])
    results: dict[tuple[str, str], Difference] = {}
    for one, two in itertools.combinations(runs, 2):
        result = difference(items[one][key], items[two][key], resamples, seed, project)
        if result is not None:
            results[one, two] = result
    values = {run: {name: float(rows[run][key][name]) for name in ("value", "low", "high", "n")} for run in runs}
    pairs = judged_together(key, results, up, alpha, signature_of(alpha, resamples, seed))
    return Measure(*key, up, values, pairs, *decide({run: v["value"] for run, v in values.items()}, pairs, up))


def judged_together(
    key: Key, results: Mapping[tuple[str, str], Difference], higher_is_better: bool, alpha: float, signature: str
) -> list[Comparison]:
    """The comparisons of one measure with verdicts that hold for all of them together."""
    adjusted = holm([result.p_value for result in results.values()])
    signature += f"|holm:{len(results)}"
    return [
        judged(key, pair, result, higher_is_better, alpha, signature, p)
        for (pair, result), p in zip(results.items(), adjusted, strict=True)
    ]


def decide(
    values: Mapping[str, float], pairs: Sequence[Comparison], higher_is_better: bool
) -> tuple[str, str, tuple[str, ...]]:
    """The winner or `""`, the run with the best value, and the runs that it is not significantly better than."""
    best = (max if higher_is_better else min)(values, key=lambda run: values[run])
    beaten = {pair.second for pair in pairs if (pair.first, pair.verdict) == (best, "better")}
    beaten |= {pair.first for pair in pairs if (pair.second, pair.verdict) == (best, "worse")}
    unbeaten = tuple(run for run in values if run != best and run not in beaten)
    return "" if unbeaten else best, best, unbeaten


def overall(found: Sequence[Measure], runs: Sequence[str]) -> tuple[str, str]:
    """The run that wins the chief measure (chrF++, or bits per byte where nothing is translated) in all directions, else `""`; and
    the measure's name, `""` when no chief measure was taken of all runs."""
    for metric in CHIEF:
        chief = [m for m in found if m.metric == metric and set(m.values) == set(runs)]
        if chief:
            winners = {measure.winner for measure in chief}
            return winners.pop() if len(winners) == 1 else "", chief[0].name
    return "", ""
