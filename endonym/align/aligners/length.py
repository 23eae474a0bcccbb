"""Align by length alone: long sentences translate into long sentences. Fast, and needs no knowledge of either language.

Gale and Church, A Program for Aligning Sentences in Bilingual Corpora, Computational Linguistics 19 (1993), with two changes:
the ratio of lengths is taken from the texts themselves, and a sentence may correspond to as many as four.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.align.beads import Floats, Path, Shape, cheapest, in_segments, length_cost, lengths, links, proportional
from endonym.data.lexicon import Lexicon
from endonym.types import Link

PRIORS: dict[Shape, float] = {
    (1, 1): 0.89, (1, 0): 0.005, (0, 1): 0.005, (1, 2): 0.044, (2, 1): 0.044, (2, 2): 0.011,
    (1, 3): 0.004, (3, 1): 0.004, (1, 4): 0.001, (4, 1): 0.001,
}  # fmt: skip
"""Gale and Church's, table 5, each count split over its two mirror shapes; those above two sentences are ours."""

CALIBRATION = (3.0, -0.3, -0.3)
"""Constant, weight of a bead's cost and of the mean cost of five beads around it."""


class Config(BaseModel):
    """Settings of aligning by length."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variance: float = Field(6.8, gt=0, description="Variance of the target's length per character of source.")


def align(
    source: Sequence[str],
    target: Sequence[str],
    cfg: Config,
    *,
    lexicon: Lexicon | None = None,
    anchors: Sequence[tuple[int, int]] = (),
) -> Iterator[Link]:
    """Yield the links in order. `anchors` are positions `(i, j)` known to correspond; a `lexicon` is of no use here."""
    x, y = lengths(source), lengths(target)
    ratio = y.sum() / x.sum() if x.sum() and y.sum() else 1.0
    for part in in_segments(len(x), len(y), anchors):
        path = search(x[part[0]], y[part[1]], ratio, cfg.variance)
        yield from links(path, part, confidence(path))


def search(source: Floats, target: Floats, ratio: float, variance: float) -> Path:
    """The likeliest beads for sentences of these lengths."""
    by_lengths = length_cost(source, target, ratio, variance)

    def cost(shape: Shape, i: int, low: int, high: int) -> Floats:
        return by_lengths(shape, i, low, high) - np.log(PRIORS[shape])

    return cheapest(len(source), len(target), tuple(PRIORS), cost, proportional(source, target))


def confidence(path: Path) -> list[float]:
    """Chance that each bead is right: a bead is as good as it is cheap, and as its neighbours are."""
    costs = np.array(path.costs)
    values = np.column_stack([np.ones_like(costs), costs, around(costs)])
    return [float(p) for p in 1 / (1 + np.exp(-(values @ np.array(CALIBRATION))))]


def around(values: Floats) -> Floats:
    """Mean of each value with the two before and the two after it."""
    if not len(values):
        return values
    padded = np.pad(values, 2, mode="edge")
    return np.array([padded[k : k + 5].mean() for k in range(len(values))])
