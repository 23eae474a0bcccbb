"""How far judgements of the same things agree beyond chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

Distance = Callable[[float, float], float]


def nominal(a: float, b: float) -> float:
    """Values are the same or not."""
    return float(a != b)


def interval(a: float, b: float) -> float:
    """Values lie apart on a scale."""
    return (a - b) ** 2


def alpha(units: Sequence[Sequence[float]], distance: Distance = nominal) -> float | None:
    """Krippendorff's alpha: 1 is full agreement, 0 what chance gives; None where nothing can be told.

    Each unit is what was said of one thing, by whoever and however often; those with one value say nothing. Observed over expected
    distance of pairs (Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011). Pairs are counted by value, so that it
    takes the square of the number of different values and not of all of them.
    """
    told = [list(values) for values in units if len(values) > 1]
    everything = [value for values in told for value in values]
    total = len(everything)
    if total < 2:
        return None
    observed = sum(_within(values, distance) / (len(values) - 1) for values in told) / total
    expected = _within(everything, distance) / (total * (total - 1))
    return 1.0 - observed / expected if expected else None


def _within(values: Sequence[float], distance: Distance) -> float:
    """Sum of the distances of all ordered pairs."""
    counts = Counter(values).items()
    return sum(n * m * distance(a, b) for a, n in counts for b, m in counts)
