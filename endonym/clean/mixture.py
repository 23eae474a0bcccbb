"""Where to draw the line when what is given is part good and part bad, and only the bad is known on its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from endonym.clean.batch import Floats
from endonym.data.quality import EDGE

SURE = 0.6
"""Share of what lies beyond the edge that is bad, as far as can be estimated."""


@dataclass(frozen=True)
class Mixture:
    """A score, of which more is better: where it is usual, and where the edge is."""

    usual: float
    edge: float
    share_bad: float

    @classmethod
    def fitted(cls, given: Floats, bad: Floats, lost: float) -> Mixture:
        """Find the edge beyond which at most `lost` of the good lie.

        `given` is a mixture of good and bad, `bad` is like the bad in it. Their share is at most the least ratio of how many of
        both lie below a point (Blanchard, Lee and Scott, Semi-Supervised Novelty Detection, JMLR 2010); the good are what is left.
        """
        given, bad = np.sort(given), np.sort(bad)
        points = np.quantile(np.concatenate([given, bad]), np.linspace(0, 1, 400))
        below, below_bad = (np.searchsorted(side, points, "right") / len(side) for side in (given, bad))
        enough = below_bad >= 0.1
        share = float(min(0.9, np.min(below[enough] / below_bad[enough])))
        good = np.maximum.accumulate(np.clip((below - share * below_bad) / (1 - share), 0, 1))
        sure = share * below_bad >= SURE * below
        fine = (good <= lost) & sure
        edge = float(points[np.flatnonzero(fine)[-1]]) if fine.any() else float(points[0]) - 1.0
        usual = float(np.quantile(given, 0.75))
        return cls(max(usual, edge + 1e-6), edge, share)

    def grade(self, scores: Floats) -> Floats:
        """1 where usual, EDGE at the edge."""
        return np.asarray(EDGE ** np.clip((self.usual - scores) / (self.usual - self.edge), 0, 40))
