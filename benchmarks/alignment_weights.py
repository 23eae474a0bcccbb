"""Fit what the evidence for a bead weighs, and how sure its links are, on one text whose alignment is known.

    python benchmarks/alignment_weights.py PATH [--vectors] > endonym/align/weights.toml

PATH holds data sets as `alignment.py` reads them; only documents whose name begins with `dev` are looked at. The weights are those
of a semi-Markov conditional random field of greatest likelihood. It learns from each document whole, cut into short ones that stand
alone (as most real files are), without words that look alike (as between two scripts), and with passages taken out of one side.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from alignment import Document

from endonym.align import lattice
from endonym.align.evidence import Side
from endonym.align.learn import learned
from endonym.align.passes import Texts
from endonym.align.potentials import Weights, measuring, scores_of
from endonym.align.search import near_way
from endonym.align.words import known_words, words_of
from endonym.data.lexicon import Lexicon

SHAPES = ("1-1", "1-2", "2-2", "1-3", "1-4", "2-3", "3-3", "1-0")
PRIOR = np.array([0.0, -3.3, -5.5, -6.3, -9.5, -8.0, -9.7, -2.5])
"""Scores of the shapes that the fit is drawn to where it knows nothing."""
KNOTS = {
    "length": (-9.0, -5.0, -2.0, -0.7, 0.0),
    "words": (0.0, 0.04, 0.08, 0.15, 0.3, 1.0),
    "words_joined": (0.0, 0.1, 0.25),
    "words_least": (0.0, 0.15, 0.35, 1.0),
    "vectors": (0.0, 0.2, 0.35, 0.5, 0.7, 1.0),
    "vectors_joined": (0.0, 0.25, 0.5),
    "vectors_least": (-0.1, 0.1, 0.25, 0.5),
    "agreeing": (0.0, 1.0),
}
HALF = 40


@dataclass
class Example:
    """A document as numbers: for every bead near the gold its features, and which beads are gold."""

    band: lattice.Band
    shapes: list[lattice.Shape]
    kinds: np.ndarray
    allowed: list[np.ndarray]
    features: list[np.ndarray]
    gold: list[tuple[int, int, int]]
    weight: float = 1.0

    def scores(self, theta: np.ndarray) -> list[np.ndarray]:
        prior, slopes = theta[: len(SHAPES)][self.kinds][:, None], theta[len(SHAPES) :].astype(np.float32)
        return [
            np.where(ok, values @ slopes + prior, lattice.NEVER).astype(np.float32)
            for ok, values in zip(self.allowed, self.features)
        ]

    def loss(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus log likelihood of the gold way and its gradient."""
        scores = self.scores(theta)
        chances, total = lattice.posterior(self.shapes, self.band, scores)
        found = np.zeros(len(theta))
        for row, values in zip(chances, self.features):
            found[: len(SHAPES)] += np.bincount(self.kinds, row.sum(1), len(SHAPES))
            found[len(SHAPES) :] += np.einsum("kw,kwf->f", row, values)
        right = 0.0
        for k, i, j in self.gold:
            right += float(scores[i][k, j])
            found[self.kinds[k]] -= 1
            found[len(SHAPES) :] -= self.features[i][k, j]
        return self.weight * (total - right), self.weight * found


def way_of(document: Document, shapes: Sequence[lattice.Shape]) -> list[tuple[int, int, int, int]]:
    """The gold beads in order as `(n, m, i, j)`, what no bead has as skips; a bead too large is cut to one that is allowed and skips."""
    way: list[tuple[int, int, int, int]] = []
    at = (0, 0)

    def skip_to(i: int, j: int) -> None:
        nonlocal at
        for k in range(at[0] + 1, i + 1):
            way.append((1, 0, k, at[1]))
        for k in range(at[1] + 1, j + 1):
            way.append((0, 1, i, k))
        at = (i, j)

    for source, target in sorted(b for b in document.gold if b[0] and b[1]):
        if source[0] >= at[0] and target[0] >= at[1]:
            skip_to(source[0], target[0])
            n, m = source[-1] + 1 - at[0], target[-1] + 1 - at[1]
            while (n, m) not in shapes:
                n, m = (n - 1, m) if n > m else (n, m - 1)
            at = (at[0] + n, at[1] + m)
            way.append((n, m, *at))
            skip_to(source[-1] + 1, target[-1] + 1)
    skip_to(len(document.source), len(document.target))
    return way


def example(document: Document, texts: Texts, names: Sequence[str]) -> Example:
    """Features of the beads near the gold: how far each measure is along each stretch of its curve."""
    text = texts._text(texts.parts[0], texts.ratios[0])
    shapes = list(texts.known.shapes)
    way = way_of(document, shapes)
    band = near_way([(0, 0), *((i, j) for _, _, i, j in way)], text, HALF)
    beyond = np.array([max(0, n + m - 2) for n, m in shapes], np.float32)[:, None]
    real = np.array([bool(n and m) for n, m in shapes])[:, None]
    measured = {n: list(scores_of(text, measuring(texts.known, n), band)) for n in names if not n.endswith("_joined")}
    allowed = [row > lattice.NEVER / 2 for row in measured["length"]]
    features = []
    for i in range(len(allowed)):
        columns = []
        for name in names:
            value = measured[name.removesuffix("_joined")][i]
            for a, b in zip(KNOTS[name], KNOTS[name][1:]):
                column = np.where(allowed[i] & real, np.clip(value, a, b) - (b if name == "length" else a), 0) / (b - a)
                columns.append(column * beyond if name.endswith("_joined") else column)
        features.append(np.stack(columns, -1).astype(np.float32))
    kinds = np.array([SHAPES.index("-".join(map(str, sorted(s, reverse=0 in s)))) for s in shapes])
    number = {shape: k for k, shape in enumerate(shapes)}
    gold = [(number[n, m], i, j - int(band.low[i])) for n, m, i, j in way]
    return Example(band, shapes, kinds, allowed, features, gold)


def prepared(
    document: Document,
    known: Weights,
    vectors=None,
    cognate: float = 0.6,
    passes: int = 3,
    lexicon: Lexicon | None = None,
) -> Texts:
    """The texts after all passes, with the words they taught."""
    texts = Texts(document.source, document.target, known, vectors=vectors)
    if "words" in known.curves:
        here, there = (Side.of(words_of(s) for s in side) for side in (document.source, document.target))
        given = known_words(here, there, lexicon, cognate)
        texts.evidence = given.between(here, there)
        for _ in range(passes - 1):
            texts.look()
            texts.learn(here, there, given)
    return texts


def dictionary(document: Document) -> Lexicon:
    """What the gold beads teach of the words: stands for a good dictionary."""
    here, there = (Side.of(words_of(s) for s in side) for side in (document.source, document.target))
    beads = [((s[0], s[-1] + 1), (t[0], t[-1] + 1)) for s, t in document.gold if s and t]
    found = learned(here, there, beads, np.ones(len(beads)))
    names = list(here.numbers), list(there.numbers)
    table: dict[str, dict[str, float]] = {}
    for first, second, score in zip(found.first, found.second, found.scores):
        table.setdefault(names[0][first], {})[names[1][second]] = float(score)
    return Lexicon(table)
