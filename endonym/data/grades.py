"""What the grades of answers come to: means with their methods and numbers, and improvements from before to after, with intervals.

A question counts only where it has a mark, and before and after are compared on the questions that were marked on both sides by the
same method. Intervals are 95 % percentiles of the paired bootstrap over questions (Efron and Tibshirani 1993).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from endonym.data.statistics import RESAMPLES, Floats, as_table, interval, paired_of, ratio, resampled_pairs

CRITERIA = ("accuracy", "completeness", "correctness", "coherence")
SMALLEST_BASE = 1.0
"""Mean below which a baseline counts as zero: a percentage of it says nothing, so points are given instead."""

Row = Mapping[str, Any]
"""A graded question: id, factor, seconds, tokens, `marks` by criterion ({value, method, why})."""


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Means of all criteria with intervals and methods, the total weighted by complexity, and how long answers took."""
    criteria = {name: _criterion([row["marks"].get(name, {}) for row in rows]) for name in CRITERIA}
    return {"questions": len(rows), "criteria": criteria, "total": _total(rows), "speed": speed(rows)}


def _criterion(marks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    values = [m["value"] for m in marks if m.get("value") is not None]
    missing = Counter(str(m.get("why") or "no grader marks it") for m in marks if m.get("value") is None)
    methods = Counter(str(m["method"]) for m in marks if m.get("value") is not None)
    shown: dict[str, Any] = {"value": None, "low": None, "high": None}
    if values:
        shown = dict(zip(shown, (round(v, 2) for v in interval(as_table(values, len(values)), ratio)), strict=True))
    return {**shown, "n": len(values), "methods": dict(methods), "not_marked": dict(missing)}


def _total(rows: Sequence[Row]) -> dict[str, Any]:
    """Mean of the questions' own means, each question counted as often as its complexity says."""
    found = [(row["factor"], mean) for row in rows if (mean := _mean(row)) is not None]
    weights = {f"x{factor}": sum(row["factor"] == factor for row in rows) for factor in (1, 2, 3)}
    if not found:
        return {"value": None, "low": None, "high": None, "n": 0, "weights": weights}
    stats = np.array([[factor * mean, factor] for factor, mean in found], float)
    value, low, high = (round(v, 2) for v in interval(stats, ratio))
    return {"value": value, "low": low, "high": high, "n": len(found), "weights": weights}


def _mean(row: Row) -> float | None:
    values = [m["value"] for m in row["marks"].values() if m.get("value") is not None]
    return sum(values) / len(values) if values else None


def speed(rows: Sequence[Row]) -> dict[str, Any]:
    """Seconds an answer, its first token and each token took."""
    first = [row["first_token_seconds"] for row in rows if row.get("first_token_seconds") is not None]
    seconds, tokens = sum(row["seconds"] for row in rows), sum(row["tokens"] for row in rows)
    return {
        "answers": len(rows),
        "seconds_per_answer": round(seconds / len(rows), 4) if rows else None,
        "seconds_to_first_token": round(sum(first) / len(first), 4) if first else None,
        "tokens_per_second": round(tokens / seconds, 2) if seconds > 0 else None,
    }


def improvements(before: Sequence[Row], after: Sequence[Row], seed: int = 12345) -> dict[str, Any]:
    """By criterion, `total` and `seconds` (less is better): before, after, the difference in percent of before with its interval, and n."""
    pairs = _pairs(before, after)
    found = {}
    for name in CRITERIA:
        both = [(one["marks"].get(name, {}), two["marks"].get(name, {})) for one, two in pairs]
        values = [
            (one["value"], two["value"], 1.0)
            for one, two in both
            if one.get("value") is not None and two.get("value") is not None and one["method"] == two["method"]
        ]
        found[name] = _improvement(values, seed)
    marked = [(row, one, two) for row, one, two in ((a, *_means(a, b)) for a, b in pairs) if one is not None]
    found["total"] = _improvement([(one, two, row["factor"]) for row, one, two in marked], seed)
    found["seconds"] = _improvement([(a["seconds"], b["seconds"], 1.0) for a, b in pairs], seed, 0.0)
    return found


def _pairs(before: Sequence[Row], after: Sequence[Row]) -> list[tuple[Row, Row]]:
    later = {row["id"]: row for row in after}
    return [(row, later[row["id"]]) for row in before if row["id"] in later]


def _means(before: Row, after: Row) -> tuple[Any, Any]:
    """Mean marks of one question before and after, over the criteria that both have by one method; None where there are none."""
    names = [
        name
        for name, mark in before["marks"].items()
        if mark.get("value") is not None
        and (other := after["marks"].get(name, {})).get("value") is not None
        and other["method"] == mark["method"]
    ]
    if not names:
        return None, None
    one, two = (sum(row["marks"][name]["value"] for name in names) / len(names) for row in (before, after))
    return one, two


def _improvement(
    values: Sequence[tuple[float, float, float]], seed: int, smallest: float = SMALLEST_BASE
) -> dict[str, Any]:
    """Of (before, after, weight): means, difference in points and in percent of the mean before, each with its interval.

    `low` and `high` are those of the `unit`: percent, or points where the baseline is too near zero for a percentage, in any resample
    too, which `why` says.
    """
    empty: dict[str, Any] = dict.fromkeys(("before", "after", "points", "percent", "low", "high", "p_value"))
    if not values:
        return {**empty, "n": 0, "unit": "points", "why": "no question was marked by one method before and after"}
    table = np.array(values, float)
    one, two = (np.column_stack([table[:, i] * table[:, 2], table[:, 2]]) for i in (0, 1))
    later, earlier = resampled_pairs(two, one, RESAMPLES, seed)
    difference = paired_of(two, one, ratio, later, earlier)
    start, end = (float(ratio(stats.sum(axis=0))) for stats in (one, two))
    found = {"before": start, "after": end, "points": difference.value, "p_value": difference.p_value, "n": len(values)}
    found = {key: round(value, 4) for key, value in found.items()}
    percent = _percent(start, end, ratio(earlier), ratio(later), smallest) if start > smallest else None
    if percent is None:
        low, high = round(difference.low, 4), round(difference.high, 4)
        why = f"the mean before is not above {smallest:g} in every resample: points instead of percent"
        return {**empty, **found, "low": low, "high": high, "unit": "points", "why": why}
    return {**empty, **found, **percent, "unit": "percent", "why": ""}


def _percent(start: float, end: float, before: Floats, after: Floats, smallest: float) -> dict[str, float] | None:
    """The change in percent of the mean before, with the interval of the resampled means; None where some have hardly anything to divide by."""
    if not (before > smallest).all():
        return None
    low, high = np.percentile(100 * (after / before - 1), [2.5, 97.5])
    return {
        "percent": round(100 * (end / start - 1), 2), "low": round(float(low), 2), "high": round(float(high), 2),
    }  # fmt: skip
