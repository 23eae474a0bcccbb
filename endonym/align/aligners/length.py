"""Align by length alone: long sentences translate into long sentences. Fast, and needs no knowledge of either language.

Gale and Church, A Program for Aligning Sentences in Bilingual Corpora, Computational Linguistics 19 (1993), with two changes:
the ratio of lengths is taken from the texts themselves, and a sentence may correspond to as many as four.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.align.beads import Cost, Floats, Path, Shape, cheapest, in_segments, length_cost, lengths, links, proportional
from endonym.data.lexicon import Lexicon
from endonym.types import Link

PRIORS: dict[Shape, float] = {
    (1, 1): 0.89, (1, 0): 0.005, (0, 1): 0.005, (1, 2): 0.044, (2, 1): 0.044, (2, 2): 0.011,
    (1, 3): 0.004, (3, 1): 0.004, (1, 4): 0.001, (4, 1): 0.001,
}  # fmt: skip
"""Gale and Church's, table 5, each count split over its two mirror shapes; those above two sentences are ours."""

CALIBRATION = (-2.0, 0.5, 0.5)
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
        xs, ys = x[part[0]], y[part[1]]
        length = length_cost(xs, ys, ratio, cfg.variance)

        def cost(shape: Shape, i: int, low: int, high: int, length: Cost = length) -> Floats:
            return length(shape, i, low, high) - np.log(PRIORS[shape])

        path = cheapest(len(xs), len(ys), tuple(PRIORS), cost, proportional(xs, ys))
        yield from links(path, part, path_confidence(path))


def path_confidence(path: Path) -> list[float]:
    """Chance that each bead is right: a bead is as good as it is cheap, and as its neighbours are."""
    costs = np.array(path.costs)
    padded = np.pad(costs, 2, mode="edge")
    around = np.array([padded[k : k + 5].mean() for k in range(len(costs))])
    return [float(1 / (1 + np.exp(c))) for c in CALIBRATION[0] + CALIBRATION[1] * costs + CALIBRATION[2] * around]
