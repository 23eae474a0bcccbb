"""Scores of beads from what is known of two texts: their lengths, words that translate each other, and vectors of their meaning."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from endonym.align.evidence import Evidence, Ints, Singles
from endonym.align.lattice import NEVER, Band, Scores, Shape
from endonym.align.numbers import Floats, log_two_sided

VARIANCE = 6.8
"""Variance of the target's length per character of source (Gale and Church 1993)."""
SHORT = 1.5
"""Weight of words from which a sentence that the other side does not say counts against a bead."""
DAMPING = 3.0
"""Added to the weight of both sides of a bead, so that one shared word does not make two short lines equal."""
WIDEST = 4
ROWS = 512
"""Sentences that are compared with all of the other side at once."""
_STEP = 0.01
_FINENESS = 500
Curve = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Weights:
    """What each piece of evidence says for a bead: curves through points, with a score for each shape."""

    shapes: Mapping[Shape, float]
    curves: Mapping[str, Curve]
    ending: float
    """Score of a bead whose two sides end in the same kind of sign."""
    beginning: float
    """Score of a bead whose two sides begin with the same kind of letter."""
    skips: float
    """Share of the beads that were sentences of one side without partner, in the text the weights come from, by side."""
    right_skip: float
    """How often such a sentence that is found counts as a hit when beads are chosen."""
    cut: tuple[float, ...]
    corresponding: tuple[float, ...]


@lru_cache(1)
def weights() -> Mapping[str, Weights]:
    """The fitted weights of each kind of aligner, from `weights.toml`."""
    with open(Path(__file__).with_name("weights.toml"), "rb") as file:
        tables = tomllib.load(file)
    return {name: _weights(table) for name, table in tables.items()}


def _weights(table: Mapping) -> Weights:
    shapes: dict[Shape, float] = {}
    for name, score in table["shapes"].items():
        n, _, m = name.partition("-")
        shapes[int(n), int(m)] = shapes[int(m), int(n)] = score
    curves = {
        name: (tuple(x for x, _ in points), tuple(y for _, y in points)) for name, points in table["curves"].items()
    }
    signs = table["ending"], table["beginning"], table["skips"], table["right_skip"]
    return Weights(shapes, curves, *signs, tuple(table["cut"]), tuple(table["corresponding"]))


def measuring(known: Weights, name: str) -> Weights:
    """Weights under which the score of a bead is one measure of it, as it is."""
    far = ((-20.0, 20.0), (0.0, 0.0))
    curves = {other: (far[0], far[0]) if other == name else far for other in known.curves}
    shapes = dict.fromkeys(known.shapes, 0.0)
    signs = float(name == "ending"), float(name == "beginning")
    return replace(known, shapes=shapes, curves=curves, ending=signs[0], beginning=signs[1])


class Text:
    """The lengths of two texts and the ratio between them, with what else is known."""

    def __init__(
        self,
        lengths: tuple[Floats, Floats],
        ratio: float,
        evidence: Evidence | None = None,
        vectors: tuple[Singles, Singles] | None = None,
        start: Shape = (0, 0),
        begins: tuple[Ints, Ints] | None = None,
        ends: tuple[Ints, Ints] | None = None,
        nearest: tuple[Singles, Singles] | None = None,
    ):
        """`start` is where the two texts begin in the texts of `evidence`; `vectors` hold one row a sentence, as long as
        the sentence is to weigh in a bead, and `nearest` what `nearest_of` says of them; `begins` and `ends` the kind of letter
        and of sign that each sentence begins with and ends in."""
        self.x, self.y = (np.concatenate([[0.0], np.cumsum(side)]) for side in lengths)
        self.ratio, self.begins, self.ends = ratio, begins, ends
        self.evidence, self.start = evidence, start
        self.vectors = vectors
        self.norms = [_norms(side) for side in vectors] if vectors else []
        self.rivals = [_means(*side) for side in zip(nearest, self.norms)] if nearest else []

    @property
    def size(self) -> Shape:
        """Sentences of both sides."""
        return len(self.x) - 1, len(self.y) - 1


def scores_of(text: Text, known: Weights, band: Band) -> Iterator[Scores]:
    """Scores of all beads in a band, a row at a time: by shape and place in the row."""
    start = 0
    while start < len(band.low):
        # About as many rows at once as a row is wide, since all are looked at from the first's begin to the last's end.
        stop = min(len(band.low), start + int(np.clip(band.high[start] - band.low[start], 32, 256)))
        left, right = int(band.low[start]), int(band.high[stop - 1])
        wide = _rectangle(text, known, start, stop, left, right)
        for i in range(start, stop):
            yield wide[:, i - start, band.low[i] - left : band.high[i] - left]
        start = stop


def _rectangle(text: Text, known: Weights, top: int, bottom: int, left: int, right: int) -> Scores:
    """Scores of the beads that end at source positions `top .. bottom - 1` and target positions `left .. right - 1`."""
    shapes = known.shapes
    total = np.full((len(shapes), bottom - top, right - left), NEVER, np.float32)
    measures: list[_Shared | _Meaning] = [_Shared(text, top, bottom, left, right)] if text.evidence else []
    if text.vectors:
        measures.append(_Meaning(text, top, bottom, left, right))
    length = _length_table(known.curves["length"])
    for k, ((n, m), prior) in enumerate(shapes.items()):
        a, b = max(n - top, 0), max(m - left, 0)
        if a >= bottom - top or b >= right - left:
            continue
        score = np.full((bottom - top - a, right - left - b), prior, np.float32)
        if n and m:
            i, j = np.arange(top + a, bottom), np.arange(left + b, right)
            here, there = text.x[i] - text.x[i - n], text.y[j] - text.y[j - m]
            deviation = np.abs(there[None] - text.ratio * here[:, None])
            deviation /= np.sqrt(
                VARIANCE * text.ratio * np.maximum(1.0, (here[:, None] + there[None] / text.ratio) / 2)
            )
            score += length[np.minimum(deviation / _STEP, len(length) - 1).astype(np.int32)]
            for measure in measures:
                for name, values in measure(n, m).items():
                    score += _table(known, name, n + m - 2)[_steps(values[a:, b:])]
            for weight, signs, x, y in (
                (known.beginning, text.begins, i - n, j - m),
                (known.ending, text.ends, i - 1, j - 1),
            ):
                if signs:
                    score += weight * (signs[0][x][:, None] == signs[1][y][None])
        total[k, a:, b:] = score
    return total


@lru_cache(8)
def _length_table(curve: Curve) -> Singles:
    """Score of each deviation of lengths, in steps: that of the log of the chance of one at least as large."""
    deviation = np.arange(0, 8, _STEP)
    return np.interp(log_two_sided(deviation), *curve).astype(np.float32)


def _table(known: Weights, name: str, beyond: int) -> Singles:
    """Score of each likeness from -1 to 1, in steps, for a bead of `beyond` sentences more than two."""
    return _likeness_table(known.curves[name], known.curves.get(f"{name}_joined") if beyond else None, beyond)


@lru_cache(64)
def _likeness_table(curve: Curve, joined: Curve | None, beyond: int) -> Singles:
    likeness = np.linspace(-1, 1, 2 * _FINENESS + 1)
    score = np.interp(likeness, *curve)
    if joined:
        score += beyond * np.interp(likeness, *joined)
    return score.astype(np.float32)


def _steps(likeness: Singles) -> Ints:
    """Places in such a table."""
    return ((np.clip(likeness, -1, 1) + 1) * _FINENESS + 0.5).astype(np.int64)


class _Shared:
    """Overlap of the words of beads in a rectangle: a Dice coefficient over weighted words that translate each other."""

    def __init__(self, text: Text, top: int, bottom: int, left: int, right: int):
        assert text.evidence
        self.sides = text.evidence.source, text.evidence.target
        self.place = top, bottom, left, right
        a, c = max(0, top - WIDEST), max(0, left - WIDEST)
        b, d = max(a, bottom - 1), max(c, right - 1)
        i, j = text.start
        self.start = text.start
        self.scale = text.evidence.scale
        source, target = text.evidence.window(a + i, b + i, c + j, d + j, WIDEST)
        before = WIDEST - (top - a), WIDEST - (left - c)
        self.source = [np.pad(s, ((before[0], 0), (before[1], 0))) for s in source]
        self.target = [np.pad(t.T, ((before[0], 0), (before[1], 0))) for t in target]
        x, y = self.sides[0].weight_before[a + i : b + i + 1], self.sides[1].weight_before[c + j : d + j + 1]
        self.weights = [np.pad(np.diff(w), (k, 0)).astype(np.float32) for w, k in zip((x, y), before)]

    def __call__(self, n: int, m: int) -> dict[str, Singles]:
        """Likeness of the two sides, and of joined sentences the share of the one that the other side says least of."""
        top, bottom, left, right = self.place
        here, there = slice(WIDEST - 1, WIDEST - 1 + bottom - top), slice(WIDEST - 1, WIDEST - 1 + right - left)
        said = np.zeros((bottom - top, right - left), np.float32)
        least = np.ones_like(said)
        for k in range(n):
            part = self.source[m - 1][here.start - k : here.stop - k, there]
            said += part
            least = np.minimum(
                least, (part + 0.2 * SHORT) / (self.weights[0][here.start - k : here.stop - k, None] + SHORT)
            )
        for k in range(m):
            part = self.target[n - 1][here, there.start - k : there.stop - k]
            said += part
            least = np.minimum(
                least, (part + 0.2 * SHORT) / (self.weights[1][there.start - k : there.stop - k] + SHORT)
            )
        i, j = np.arange(top, bottom) + self.start[0], np.arange(left, right) + self.start[1]
        x, y = self.sides[0].weight_before, self.sides[1].weight_before
        weight = (x[i] - x[np.maximum(i - n, 0)])[:, None] + (y[j] - y[np.maximum(j - m, 0)])[None]
        found = {"words": said * self.scale / (weight + DAMPING).astype(np.float32)}
        return found | {"words_least": least * self.scale} if n + m > 2 else found


class _Meaning:
    """Cosine of the summed vectors of both sides of beads in a rectangle."""

    def __init__(self, text: Text, top: int, bottom: int, left: int, right: int):
        assert text.vectors
        self.text, self.place = text, (top, bottom, left, right)
        a, c = max(0, top - WIDEST), max(0, left - WIDEST)
        product = text.vectors[0][a : max(a, bottom - 1)] @ text.vectors[1][c : max(c, right - 1)].T
        self.product = np.pad(product, ((WIDEST - (top - a), 0), (WIDEST - (left - c), 0)))
        self.rows: dict[int, Singles] = {}

    def __call__(self, n: int, m: int) -> dict[str, Singles]:
        """Likeness of the two sides, how far it is above that of their sentences to the most like of the other text, and of joined
        sentences that of the one least like the other side."""
        top, bottom, left, right = self.place
        start, height, wide = WIDEST - 1, bottom - top, right - left
        if n not in self.rows:
            self.rows[n] = np.sum([self.product[start - k : start - k + height] for k in range(n)], axis=0)
        rows = self.rows[n]
        total = np.sum([rows[:, start - k : start - k + wide] for k in range(m)], axis=0)
        source, target = self.text.norms
        x, y = source[n - 1][top:bottom, None], target[m - 1][None, left:right]
        least = np.ones_like(total)
        i, j = np.arange(top, bottom), np.arange(left, right)
        for k in range(n if n > 1 else 0):
            one = np.sum(
                [self.product[start - k : start - k + height, start - q : start - q + wide] for q in range(m)], axis=0
            )
            least = np.minimum(least, one / (source[0][np.maximum(i - k, 0), None] * y))
        for k in range(m if m > 1 else 0):
            least = np.minimum(
                least, rows[:, start - k : start - k + wide] / (x * target[0][None, np.maximum(j - k, 0)])
            )
        likeness = total / (x * y)
        best, other = self.text.rivals
        rival = np.maximum(best[n - 1][top:bottom, None], other[m - 1][None, left:right])
        found = {"vectors": likeness, "vectors_ahead": likeness - rival}
        return found | {"vectors_least": least} if n + m > 2 else found


def _norms(vectors: Singles) -> list[Singles]:
    """For n = 1 .. WIDEST the norm of the sum of the n vectors before each position; 1 where there are not so many."""
    before = np.concatenate([np.zeros((1, vectors.shape[1])), np.cumsum(vectors, 0, dtype=np.float64)])
    found = []
    for n in range(1, WIDEST + 1):
        norm = np.ones(len(before), np.float32)
        norm[n:] = np.maximum(np.linalg.norm(before[n:] - before[:-n], axis=1), 1e-6)
        found.append(norm)
    return found


def nearest_of(source: Singles, target: Singles) -> tuple[Singles, Singles]:
    """For each sentence of both sides the largest cosine with one of the other side."""
    first, second = (side / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-6) for side in (source, target))
    best, other = np.full(len(first), -1, np.float32), np.full(len(second), -1, np.float32)
    for k in range(0, len(first), ROWS):
        cosines = first[k : k + ROWS] @ second.T
        best[k : k + ROWS] = cosines.max(1, initial=-1)
        other = np.maximum(other, cosines.max(0, initial=-1))
    return best, other


def _means(values: Singles, norms: list[Singles]) -> list[Singles]:
    """For n = 1 .. WIDEST the mean of the n values before each position, each weighted with the norm of its sentence."""
    weight = norms[0][1:].astype(np.float64)
    sums, weights = (np.concatenate([[0.0], np.cumsum(v)]) for v in (values * weight, weight))
    found = []
    for n in range(1, WIDEST + 1):
        mean = np.zeros(len(sums), np.float32)
        mean[n:] = (sums[n:] - sums[:-n]) / (weights[n:] - weights[:-n])
        found.append(mean)
    return found
