"""Records laid out for measuring: all their texts in one list, and how what is measured on texts comes back to records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from endonym.data.quality import EDGE
from endonym.types import Record

Floats = NDArray[np.float64]


@dataclass
class Batch:
    """Some records and their texts. `trusted` says which records no part has found fault with yet."""

    records: Sequence[Record]
    texts: list[str] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)
    owners: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    trusted: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))

    @classmethod
    def of(cls, records: Sequence[Record]) -> Batch:
        """Lay out records."""
        rows = [(i, code, text) for i, record in enumerate(records) for code, text in record.texts()]
        owners = np.fromiter((i for i, _, _ in rows), np.int64, len(rows))
        trusted = np.ones(len(records), bool)
        return cls(records, [text for _, _, text in rows], [code for _, code, _ in rows], owners, trusted)

    def worst(self, values: Floats) -> Floats:
        """For each record the lowest of its texts' values; NaN where none of its texts has one."""
        found = np.full(len(self.records), np.inf)
        known = ~np.isnan(values)
        np.minimum.at(found, self.owners[known], values[known])
        found[np.isinf(found)] = np.nan
        return found

    def of_language(self) -> dict[str, NDArray[np.int64]]:
        """Numbers of the texts in each language."""
        found: dict[str, list[int]] = {}
        for i, code in enumerate(self.languages):
            found.setdefault(code, []).append(i)
        return {code: np.array(places) for code, places in found.items()}


LEAST_TEXTS = 100
"""With fewer trusted texts there is nothing to fit an edge to, and a part says nothing."""


@dataclass(frozen=True)
class Scale:
    """Where a measure, of which more is worse, is usual, and where it leaves what trusted text has."""

    usual: float
    edge: float

    @classmethod
    def fitted(cls, values: Floats, tail: float, margin: float) -> Scale:
        """Usual up to the 90 % quantile; the edge lies `margin` times as far beyond it as the quantile `1 - tail` does."""
        usual, far = np.quantile(values, [0.9, 1 - tail])
        return cls(float(usual), float(usual + margin * max(far - usual, 1e-6)))

    def grade(self, values: Floats) -> Floats:
        """1 where usual, EDGE at the edge, and from there on quickly towards 0."""
        away = np.maximum(0, (values - self.usual) / max(self.edge - self.usual, 1e-9))
        return np.asarray(EDGE ** np.minimum(away, 40))


def graded(
    sample: Batch, measured: Callable[[list[str]], Floats], scaled: Callable[[Floats], Scale]
) -> Callable[[Batch], Floats]:
    """Grade what is `measured` of texts by a scale for each language, made by `scaled` of the values of its trusted texts; worst text first."""
    values = measured(sample.texts)
    scales = {}
    for code, places in sample.of_language().items():
        trusted = values[places[sample.trusted[sample.owners[places]]]]
        if len(trusted) >= LEAST_TEXTS:
            scales[code] = scaled(trusted)

    def measure(batch: Batch) -> Floats:
        values, grades = measured(batch.texts), np.full(len(batch.texts), np.nan)
        for code, places in batch.of_language().items():
            if code in scales:
                grades[places] = scales[code].grade(values[places])
        return batch.worst(grades)

    return measure
