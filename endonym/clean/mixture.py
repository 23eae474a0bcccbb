"""Where to draw the line when what is given is part good and part bad, and only the bad can be made on purpose.

Signs of each text are weighed by telling the given apart from the bad: a regression fitted by Newton's method (Hosmer and Lemeshow,
Applied Logistic Regression, 1989). The share of bad among the given is at most the least ratio of how many of both lie below a point
(Blanchard, Lee and Scott, Semi-Supervised Novelty Detection, JMLR 2010). With it each of the given counts in the next round as much as
it is likely to be good (Elkan and Noto, Learning Classifiers from Only Positive and Unlabeled Data, KDD 2008). Nothing has to be said
beforehand about how much is bad. The line is measured from where half of the given are bad at the place itself, as isotonic regression
tells (Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass Probability Estimates, KDD 2002): how many of the good
lie beyond a point is the small difference of two shares, and much more uncertain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from endonym.clean.batch import Floats
from endonym.data.quality import EDGE

ROUNDS = 6
RIDGE = 3.0
"""What holds the weights of signs that say nearly the same together, in texts."""
FARTHEST = 12.0
"""Standard deviations at which a sign counts no further."""


@dataclass(frozen=True)
class Mixture:
    """Weights of signs, where their sum is usual, and where the edge is."""

    mean: Floats
    deviation: Floats
    weights: Floats
    usual: float
    edge: float
    share_bad: float

    @classmethod
    def against(cls, given: Floats, trusted: NDArray[np.bool_], bad: Floats, odds: float) -> Mixture:
        """Learn from signs `[texts, signs]` of which `trusted` are good; the edge is where bad is `odds` times as likely.

        What lies on the good side of it is taken for good in the next round, so that the good are not only the most usual of them.
        """
        mean, deviation = given[trusted].mean(axis=0), given[trusted].std(axis=0) + 1e-6
        x, wrong = _scaled(given, mean, deviation), _scaled(bad, mean, deviation)
        edge = -float(np.log(odds))
        good = trusted
        for _ in range(2):
            weights = _regression(x[good], np.ones(int(good.sum())), wrong)
            good = trusted | (x @ weights > edge)
        return cls(
            mean,
            deviation,
            weights,
            max(float(np.quantile(x @ weights, 0.5)), edge + 1.0),
            edge,
            float(1 - good.mean()),
        )

    @classmethod
    def fitted(cls, given: Floats, bad: Floats, sure: float) -> Mixture:
        """Learn from signs `[texts, signs]` of which some are bad; at the edge the share `sure` of what is given is bad."""
        mean, deviation = given.mean(axis=0), given.std(axis=0) + 1e-6
        x, wrong = _scaled(given, mean, deviation), _scaled(bad, mean, deviation)
        good = np.ones(len(x))
        for _ in range(ROUNDS):
            weights = _regression(x, good, wrong)
            scores, below = np.sort(x @ weights), np.sort(wrong @ weights)
            share = _most(scores, below)
            good = 1 / (1 + share / (1 - share) * np.exp(-np.clip(x @ weights, -30, 30)))
        # From there on the sum of the signs is the logarithm of the odds.
        edge = _crossing(scores, below, share * len(scores) / len(below)) - float(np.log(sure / (1 - sure)))
        usual = float(np.quantile(scores, 0.75))
        return cls(mean, deviation, weights, max(usual, edge + 1e-6), edge, share)

    def grade(self, signs: Floats) -> Floats:
        """1 where usual, EDGE at the edge."""
        scores = _scaled(signs, self.mean, self.deviation) @ self.weights
        return np.asarray(EDGE ** np.clip((self.usual - scores) / (self.usual - self.edge), 0, 40))


def _scaled(signs: Floats, mean: Floats, deviation: Floats) -> Floats:
    return np.column_stack([np.ones(len(signs)), np.clip((signs - mean) / deviation, -FARTHEST, FARTHEST)])


def _most(scores: Floats, below: Floats) -> float:
    """The share of bad that the scores of the given allow: nowhere are there fewer given than bad below a point.

    Shares so found are the least of several that each err both ways, hence half a standard error above.
    """
    share, number = np.array([0.5, 0.75]), len(scores)
    rank = np.searchsorted(scores, np.quantile(below, share), "right") / number
    error = np.sqrt(rank * (1 - rank) / number + rank**2 * (1 - share) / share / len(below))
    return float(np.clip(np.min((rank + 0.5 * error) / share), 1e-4, 0.9))


def _crossing(scores: Floats, below: Floats, weight: float) -> float:
    """The highest point up to which at least half of the given are bad, if their share falls along the scores.

    `scores` of the given and `below` of the bad are sorted; each of the bad stands for `weight` of the given.
    """
    places = np.concatenate([below, scores])  # of equals the bad come first
    order = np.argsort(places, kind="stable")
    blocks: list[tuple[float, float, int]] = []
    for place in order.tolist():
        one = (weight, 0.0, place) if place < len(below) else (0.0, 1.0, place)
        while blocks and blocks[-1][0] * one[1] <= one[0] * blocks[-1][1]:
            earlier = blocks.pop()
            one = (earlier[0] + one[0], earlier[1] + one[1], place)
        blocks.append(one)
    under = [place for wrong, given, place in blocks if wrong >= 0.5 * given]
    return float(places[under[-1]]) if under else float(places[order[0]]) - 1.0


def _regression(given: Floats, good: Floats, bad: Floats) -> Floats:
    """Weights of the signs; `good` says how much each of the given counts, and both sides count alike."""
    x, y = np.concatenate([given, bad]), np.concatenate([np.ones(len(given)), np.zeros(len(bad))])
    counts = np.concatenate([good * (0.5 / good.sum()), np.full(len(bad), 0.5 / len(bad))]) * len(x)
    weights = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (counts * (y - p)) - RIDGE * weights
        hessian = (x * (counts * p * (1 - p))[:, None]).T @ x + RIDGE * np.eye(x.shape[1])
        step = np.linalg.solve(hessian, gradient)
        weights += step
        if np.abs(step).max() < 1e-6:
            break
    return weights
