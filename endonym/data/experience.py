"""Experience points and levels for what was gathered and refined: they encourage, and are never shown as a measurement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from endonym.config import read_toml
from endonym.types import Record


@dataclass(frozen=True)
class Experience:
    """What a project has reached."""

    items: int
    """Records kept after cleaning."""
    quality: float | None
    """Their mean measured quality, 0 to 100; None where it was not measured."""
    points: float | None
    """Points of the items times quality / 100; None where quality was not measured."""
    level: int | None
    """From 1 up."""
    name: str
    next_level_at: float | None
    """Points at which the next level begins; None on the highest, and where there are no points."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def earned(items: int, quality: float | None) -> Experience:
    """Points and level for `items` refined records of this mean quality."""
    if quality is None:
        return Experience(items, None, None, None, "quality was not measured", None)
    points = round(points_for(items) * quality / 100, 1)
    levels = _table()["levels"]
    number = sum(points >= level["at"] for level in levels)
    ahead = levels[number]["at"] if number < len(levels) else None
    return Experience(items, quality, points, number, str(levels[number - 1]["name"]), ahead)


def points_for(items: float) -> float:
    """Piecewise-linear interpolation over the table; beyond its last place with its last slope."""
    places = _table()["points"]
    above = next((n for n, (at, _) in enumerate(places) if items <= at), len(places) - 1)
    (x, y), (end, top) = places[max(1, above) - 1], places[max(1, above)]
    return float(y + (top - y) * (items - x) / (end - x))


def of_records(records: Iterable[Record]) -> Experience:
    """The experience of cleaned records: their number and the mean of the quality that was measured on them."""
    items, totals = 0, []
    for record in records:
        items += 1
        if "quality" in record.meta:
            totals.append(float(record.meta["quality"]["total"]))
    return earned(items, round(sum(totals) / len(totals), 1) if totals else None)


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    return read_toml(Path(__file__).with_suffix(".toml"))
