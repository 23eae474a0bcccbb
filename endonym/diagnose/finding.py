"""What a probe gives back: measures with intervals, a sentence, and signs of what the model did with its texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Says = Literal["memorising", "too little", "learning"]


@dataclass(frozen=True)
class Measure:
    """One number that can be quoted, with its 95 % interval where there is one, how it was computed, and on how many items."""

    name: str
    value: float
    low: float | None
    high: float | None
    num_items: int
    signature: str


@dataclass(frozen=True)
class Sign:
    """A reason for a verdict, in words that can stand alone."""

    says: Says
    why: str


@dataclass(frozen=True)
class Finding:
    """What one probe found."""

    text: str
    """One sentence that says what was found, or why nothing was measured."""
    measures: Sequence[Measure] = ()
    signs: Sequence[Sign] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    """What else the probe wants kept, as JSON data: examples, points of a curve."""

    def as_json(self) -> dict[str, Any]:
        """The finding as plain JSON data; `from_json` is its inverse."""
        return asdict(self)


def from_json(data: Mapping[str, Any]) -> Finding:
    """Rebuild a finding from `as_json` data."""
    measures = tuple(Measure(**row) for row in data["measures"])
    return Finding(data["text"], measures, tuple(Sign(**row) for row in data["signs"]), data["about"])


def measured(name: str, found: tuple[float, float, float], num_items: int, signature: str) -> Measure:
    """A measure of a value and its interval, as the functions of `data/statistics.py` return them."""
    return Measure(name, *found, num_items, signature)
