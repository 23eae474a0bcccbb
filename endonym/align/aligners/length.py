"""Align by length alone: long sentences translate into long sentences. Fast, and needs no knowledge of either language.

Gale and Church, A Program for Aligning Sentences in Bilingual Corpora, Computational Linguistics 19 (1993), with two changes:
the ratio of lengths is taken from the texts themselves, and a sentence may correspond to as many as four.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.align.beads import (
    Cost,
    Floats,
    Path,
    Shape,
    around,
    cheapest,
    doubts,
    in_segments,
    length_cost,
    lengths,
    links,
    logistic,
    proportional,
)
from endonym.data.lexicon import Lexicon
from endonym.types import Link

PRIORS: dict[Shape, float] = {
    (1, 1): 0.89, (1, 0): 0.005, (0, 1): 0.005, (1, 2): 0.044, (2, 1): 0.044, (2, 2): 0.011,
    (1, 3): 0.004, (3, 1): 0.004, (1, 4): 0.001, (4, 1): 0.001,
}  # fmt: skip
"""Gale and Church's, table 5, each count split over its two mirror shapes; those above two sentences are ours."""

CALIBRATION = (2.173, -0.121, -0.159, -0.875)
"""Constant, weight of the doubts about a bead, of its cost, and of the mean cost of five beads around it; a logistic
fit on the German-French `dev` text of the vecalign repository, and on the same with its target turned by a third."""


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
    parts = list(in_segments(len(x), len(y), anchors))
    paths = [search(x[s], y[t], ratio, cfg.variance) for s, t in parts]
    if not paths:
        return
    unsure = [doubts(path, tuple(PRIORS), _cost(x[s], y[t], ratio, cfg.variance)) for path, (s, t) in zip(paths, parts)]
    costs = np.array([cost for path in paths for cost in path.costs])
    sure = iter(logistic(CALIBRATION, [np.concatenate(unsure), costs, around(costs)]))
    for path, part in zip(paths, parts):
        yield from links(path, part, [next(sure) for _ in path.beads])


def search(source: Floats, target: Floats, ratio: float, variance: float) -> Path:
    """The likeliest beads for sentences of these lengths."""
    cost = _cost(source, target, ratio, variance)
    return cheapest(len(source), len(target), tuple(PRIORS), cost, proportional(source, target))


def _cost(source: Floats, target: Floats, ratio: float, variance: float) -> Cost:
    by_lengths = length_cost(source, target, ratio, variance)
    return lambda shape, i, low, high: by_lengths(shape, i, low, high) - np.log(PRIORS[shape])
