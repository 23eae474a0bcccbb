"""How good a record is, 0 to 100: the parts that were measured, their total, and the bands it is shown in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from endonym.types import Record

EDGE = 0.2
"""What every part gives to the last of what its trusted text has: below it a text is unlike nearly all of it."""
BANDS = ((80, "high"), (50, "fair"), (20, "low"), (0, "poor"))


def total(parts: Mapping[str, float]) -> float:
    """A record is as good as its worst part: a fluent sentence that translates nothing is a bad pair.

    Language and translation are looked at by parts that know nothing of one another, so where both doubt, it counts twice.
    """
    doubt = 2 * parts.get("language", 1.0) * parts.get("adequacy", 1.0)
    return round(100 * min(doubt, 1.0, *parts.values()), 1)


def noted(parts: Mapping[str, float]) -> dict[str, Any]:
    """What stands in `meta["quality"]`."""
    return {"total": total(parts), "parts": {name: round(value, 3) for name, value in parts.items()}}


def band(record: Record) -> str:
    """Band of a record's quality; empty when it was not measured."""
    found = record.meta.get("quality")
    return next(name for least, name in BANDS if found["total"] >= least) if found else ""
