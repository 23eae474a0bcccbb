"""Compare systems on the same test items: how much better, with interval and p-value, and the verdict in one word."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from endonym import plugins
from endonym.data import statistics
from endonym.errors import UsageError

Key = tuple[str, str, str, str]
"""Task, direction, metric plugin, metric name."""


@dataclass(frozen=True)
class Comparison:
    """One system or run against another on one task, direction and metric."""

    task: str
    direction: str
    metric: str
    name: str
    first: str
    second: str
    difference: float
    low: float
    high: float
    p_value: float
    n: int
    verdict: str
    """`better`, `worse` or `no significant difference`: what the first is, whichever way the metric points."""
    signature: str
    p_adjusted: float | None = None
    """What the verdict rests on where it has to hold for several comparisons together: `p_value` after their correction."""

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


def read_statistics(folder: Path) -> list[dict[str, Any]]:
    """Per-item statistics of an evaluation, one row per system, task, direction and metric."""
    with (folder / "statistics.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def aggregate_of(metric: str, project: Path) -> statistics.Aggregate | None:
    """How a metric turns sums into a score: its own `aggregate`, the first sum over the second when it has none; None when it is not installed."""
    try:
        module = plugins.load("metric", metric, project)
    except UsageError:
        return None
    own: statistics.Aggregate = getattr(module, "aggregate", statistics.ratio)
    return own


def compare_all(
    rows: list[dict[str, Any]],
    higher: dict[Key, bool],
    first: str,
    alpha: float,
    resamples: int,
    seed: int,
    project: Path,
) -> list[Comparison]:
    """Compare `first` with every other system wherever both answered the same items."""
    tables = {(*key_of(row), row["system"]): row for row in rows}
    found = []
    for row in rows:
        key = key_of(row)
        mine = tables.get((*key, first))
        if row["system"] == first or mine is None:
            continue
        result = difference(mine, row, resamples, seed, project)
        if result is not None:
            signed = signature_of(alpha, resamples, seed)
            found.append(judged(key, (first, row["system"]), result, higher.get(key, True), alpha, signed))
    return found


def difference(
    first: dict[str, Any], second: dict[str, Any], resamples: int, seed: int, project: Path
) -> statistics.Difference | None:
    """How far two systems are apart on the items both answered; None without such items, or without the metric."""
    aggregate = aggregate_of(first["metric"], project)
    pair = align(first, second)
    return statistics.paired(*pair, aggregate, resamples, seed) if pair and aggregate else None


def judged(
    key: Key,
    pair: tuple[str, str],
    result: statistics.Difference,
    higher_is_better: bool,
    alpha: float,
    signature: str,
    p_adjusted: float | None = None,
) -> Comparison:
    """The difference between a pair as a comparison with its verdict."""
    p_value = result.p_value if p_adjusted is None else p_adjusted
    return Comparison(
        *key, *pair, difference=result.value, low=result.low, high=result.high, p_value=result.p_value,
        n=result.num_items, verdict=verdict(replace(result, p_value=p_value), higher_is_better, alpha),
        signature=signature, p_adjusted=p_adjusted,
    )  # fmt: skip


def signature_of(alpha: float, resamples: int, seed: int) -> str:
    """How comparisons were made, in one line."""
    return f"paired-bootstrap|v:2|n:{resamples}|rs:{seed}|alpha:{alpha}|two-sided"


def verdict(result: statistics.Difference, higher_is_better: bool, alpha: float) -> str:
    """Better or worse only when the p-value is below `alpha` and the interval does not hold zero."""
    if result.p_value >= alpha or result.low <= 0 <= result.high:
        return "no significant difference"
    return "better" if (result.value > 0) == higher_is_better else "worse"


def align(first: dict[str, Any], second: dict[str, Any]) -> tuple[statistics.Floats, statistics.Floats] | None:
    """Statistics of both on the items both answered, in the same order; None when there are none."""
    one, two = _by_id(first), _by_id(second)
    shared = [name for name in first["ids"] if name in two]
    if not shared:
        return None
    return statistics.as_table([one[i] for i in shared], len(shared)), statistics.as_table(
        [two[i] for i in shared], len(shared)
    )


def key_of(row: dict[str, Any]) -> Key:
    return row["task"], row["direction"], row["metric"], row["name"]


def per_item(row: dict[str, Any], project: Path) -> dict[str, float]:
    """Score of each single item, by id; empty when the metric is not installed."""
    aggregate = aggregate_of(row["metric"], project)
    if aggregate is None or not row["ids"]:
        return {}
    scores = aggregate(statistics.as_table(row["values"], len(row["ids"])))
    return dict(zip(row["ids"], map(float, scores), strict=True))


def higher_is_better(rows: Iterable[dict[str, Any]]) -> dict[Key, bool]:
    """Direction of each metric, from the rows of `scores.json`."""
    return {key_of(row): row["higher_is_better"] for row in rows}


def _by_id(row: dict[str, Any]) -> dict[str, statistics.Floats]:
    return dict(zip(row["ids"], statistics.as_table(row["values"], len(row["ids"])), strict=True))
