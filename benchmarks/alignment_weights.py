"""Fit what the evidence for a bead weighs, and how sure its links are, on one text whose alignment is known.

    python benchmarks/alignment_weights.py PATH > endonym/align/weights.toml

PATH holds data sets as `alignment.py` reads them; only the document whose name begins with `dev` is looked at. The same text gives the
same file, since nothing begins from weights fitted before. It takes four minutes of one core, and the extra `embed`.

The weights are those of a semi-Markov conditional random field of greatest likelihood. It learns from the document whole, cut into
short ones that stand alone (as most real files are), without words that look alike (as between two scripts), and with sentences taken
out of both sides. What makes a confidence of a link's measures is fitted after it, on the whole document, on two with passages taken out
and on passages that have nothing to do with each other.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from alignment import Document, read_sets

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
    "vectors_ahead": (-0.6, -0.3, -0.15, 0.0, 0.1, 0.3),
    "ending": (0.0, 1.0),
    "beginning": (0.0, 1.0),
}
SIGNS = ("length", "ending", "beginning")
WORDS = (*SIGNS[:1], "words", "words_joined", "words_least", *SIGNS[1:])
KINDS = {
    "length": SIGNS,
    "words": WORDS,
    "vectors": (*WORDS[:4], "vectors", "vectors_joined", "vectors_least", "vectors_ahead", *SIGNS[1:]),
}
"""Curves and signs of each kind of aligner."""
RIGHT_SKIP = {"length": 2.0, "words": 1.5, "vectors": 1.0}
"""How often a right skip counts as a hit: the more, the less the evidence tells a sentence without partner from a part of a link."""
ROUNDS = 2
"""Times all is fitted; each looks at words that were learned with the weights of the one before."""
RIDGE = 0.1
"""How strongly weights are drawn to the prior."""
ENOUGH = 1e-7
"""Share of the loss that a step must win for another to follow."""
HALF = 12
"""Target sentences to either side of the gold way that ways are looked at in."""
BLOCKS = 4
"""Pieces of the text whose sides are exchanged to show what texts look like that do not correspond."""


Vectors = tuple[np.ndarray, np.ndarray]
HEAD = """# What each piece of evidence weighs: a semi-Markov conditional random field fitted on the German-French `dev` text of the vecalign
# repository, and on no other gold. Written by: python benchmarks/alignment_weights.py GOLD > endonym/align/weights.toml"""


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
            for a, b in pairwise(KNOTS[name]):
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


def part_of(document: Document, source: Sequence[int], target: Sequence[int]) -> Document:
    """The document with these sentences only."""
    i, j = ({old: new for new, old in enumerate(kept)} for kept in (source, target))
    gold = [(tuple(i[k] for k in s if k in i), tuple(j[k] for k in t if k in j)) for s, t in document.gold]
    return Document(document.name, [document.source[k] for k in source], [document.target[k] for k in target], gold)


def variants(document: Document, known: Weights) -> Iterator[tuple[Document, list[int], list[int], dict, float]]:
    """Documents to learn from: each with the sentences it keeps, what is known of its words, and its weight."""
    chance, told = random.Random(0), {"lexicon": dictionary(document)}
    n, m = len(document.source), len(document.target)
    everything, other = list(range(n)), list(range(m))
    cases = [(everything, other, {}, 2.0), (everything, other, {"cognate": 2.0}, 0.5), (everything, other, told, 0.5)]
    way = way_of(document, list(known.shapes))
    cuts = [(0, 0), *((i, j) for _, _, i, j in way[34::35]), (n, m)]
    cases += [(list(range(a, b)), list(range(c, d)), {}, 1.0) for (a, c), (b, d) in pairwise(cuts) if a < b and c < d]
    for given in ({}, told):
        left, right = ([k for k in side if chance.random() > 0.2] for side in (everything, other))
        cases.append((left, right, given, 0.25))
    for source, target, given, weight in cases:
        yield part_of(document, source, target), source, target, given, weight


def fitted(examples: Sequence[Example], theta: np.ndarray, steps: int = 100) -> np.ndarray:
    """Weights of greatest likelihood, drawn to the prior; what a likeness adds never falls, and a bead of one and one is worth 0.

    L-BFGS with projected steps (Nocedal and Wright, Numerical Optimization, 2006, algorithm 7.4; Bertsekas, SIAM Journal on Control
    and Optimization 20, 1982): weights that press against 0 stand still.
    """
    rising = np.arange(len(theta)) >= len(SHAPES)
    prior = np.concatenate([PRIOR, np.zeros(rising.sum())])

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        values, slopes = zip(*(e.loss(theta) for e in examples))
        away = theta - prior
        slope = np.sum(slopes, axis=0) + RIDGE * away
        slope[0] = 0.0
        return float(np.sum(values) + RIDGE / 2 * away @ away), slope

    value, slope = loss(theta)
    moves: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(steps):
        free = ~(rising & (theta <= 0) & (slope > 0))
        step = direction(np.where(free, slope, 0.0), moves[-10:]) * free
        size = 1.0 if moves else 1 / max(1.0, float(np.abs(slope).max()))
        while True:
            moved = np.where(rising, np.maximum(theta - size * step, 0.0), theta - size * step)
            after, slope_after = loss(moved)
            if after <= value + 1e-4 * float(slope @ (moved - theta)) or size < 1e-6:
                break
            size /= 2
        gained = value - after
        if gained <= 0:
            break
        if (moved - theta) @ (slope_after - slope) > 0:
            moves.append((moved - theta, slope_after - slope))
        theta, value, slope = moved, after, slope_after
        if gained < ENOUGH * value:
            break
    return theta


def direction(slope: np.ndarray, moves: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The slope multiplied by the inverse of the curvature that the last moves and their changes of slope tell."""
    found, shares = slope.copy(), []
    for move, change in reversed(moves):
        shares.append((move @ found) / (move @ change))
        found -= shares[-1] * change
    if moves:
        move, change = moves[-1]
        found *= (move @ change) / (change @ change)
    for (move, change), share in zip(moves, reversed(shares)):
        found += (share - (change @ found) / (move @ change)) * move
    return found


def known_by(theta: np.ndarray, names: Sequence[str], skips: float, right_skip: float) -> Weights:
    """These numbers as weights, with as many digits as are written."""
    theta = np.round(theta, 2)
    shapes = {}
    for name, score in zip(SHAPES, theta):
        n, m = map(int, name.split("-"))
        shapes[n, m] = shapes[m, n] = float(score)
    curves, place, signs = {}, len(SHAPES), dict.fromkeys(SIGNS[1:], 0.0)
    for name in names:
        knots = KNOTS[name]
        heights = np.round(np.concatenate([[0.0], np.cumsum(theta[place : place + len(knots) - 1])]), 2)
        place += len(knots) - 1
        if name in signs:
            signs[name] = float(heights[-1])
        else:
            curves[name] = (knots, tuple((heights - (heights[-1] if name == "length" else 0.0)).tolist()))
    return Weights(
        shapes, curves, *(signs[name] for name in ("ending", "beginning")), skips, right_skip, (0.0, 1.0), (0.0,) * 5
    )


def calibrated(known: Weights, document: Document, vectors: Vectors | None) -> Weights:
    """The same weights with what makes a confidence of the measures of a link.

    `cut`: that a link that shares a pair of sentences with gold is a gold one; `corresponding`: that it shares one, told from links
    between passages that have nothing to do with each other.
    """
    odds: list[np.ndarray] = []
    signs: list[np.ndarray] = []
    exact: list[np.ndarray] = []
    shared: list[np.ndarray] = []
    everything = list(range(len(document.source))), list(range(len(document.target)))
    whole = [everything, *(thinned(document, seed) for seed in (1, 2))]
    for sides, parallel in ((whole, True), (strangers(document), False)):
        for source, target in sides:
            part = part_of(document, source, target)
            texts = prepared(part, known, (vectors[0][source], vectors[1][target]) if vectors else None)
            texts.look()
            gold = {b for b in part.gold if b[0] and b[1]}
            pairs = {(i, j) for s, t in gold for i in s for j in t}
            beads = [(tuple(range(*a)), tuple(range(*b))) for a, b in texts.beads()]
            linked = np.array([bool(s and t) for s, t in beads])
            (chance, measured), *_ = texts.measures()
            odds.append(chance[linked])
            signs.append(np.stack(measured, -1)[linked])
            exact.append(np.array([parallel and b in gold for b in beads])[linked])
            shared.append(np.array([parallel and any((i, j) in pairs for i in s for j in t) for s, t in beads])[linked])
    right = np.concatenate(shared)
    cut = logistic_of(np.concatenate(odds)[right][:, None], np.concatenate(exact)[right])
    return replace(known, cut=cut, corresponding=logistic_of(np.concatenate(signs), right))


def thinned(document: Document, seed: int, share: float = 0.08, mean: float = 4.0) -> tuple[list[int], list[int]]:
    """The sentences left on each side when passages of `mean` sentences, `share` of all, are taken out of both."""
    chance = random.Random(seed)

    def left(size: int) -> list[int]:
        kept, i = [], 0
        while i < size:
            if chance.random() < share / mean:
                i += 1 + int(chance.expovariate(1 / (mean - 1)))
            else:
                kept.append(i)
                i += 1
        return kept

    return left(len(document.source)), left(len(document.target))


def strangers(document: Document) -> list[tuple[list[int], list[int]]]:
    """Blocks of the source beside blocks of the target from elsewhere."""
    n, m = (np.linspace(0, len(side), BLOCKS + 1).astype(int).tolist() for side in (document.source, document.target))
    far = [(k + BLOCKS // 2) % BLOCKS for k in range(BLOCKS)]
    return [(list(range(n[k], n[k + 1])), list(range(m[f], m[f + 1]))) for k, f in enumerate(far)]


def logistic_of(features: np.ndarray, labels: np.ndarray, ridge: float = 0.1) -> tuple[float, ...]:
    """A constant and weights of greatest likelihood of a logistic function (iteratively reweighted least squares)."""
    x = np.column_stack([np.ones(len(features)), features])
    weights = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        curvature = (x * (p * (1 - p))[:, None]).T @ x + ridge * np.eye(len(weights))
        weights = weights + np.linalg.solve(curvature, x.T @ (labels - p) - ridge * weights)
    return tuple(np.round(weights, 3).tolist())


def table(name: str, known: Weights) -> str:
    """Weights as they stand in `weights.toml`."""
    shapes = ", ".join(f"{s} = {known.shapes[tuple(map(int, s.split('-')))]:.2f}" for s in SHAPES)
    lines = [f"[{name}]", f"shapes = {{ {shapes} }}"]
    lines += [
        f"ending = {known.ending:.2f}",
        f"beginning = {known.beginning:.2f}",
        f"skips = {known.skips}",
        f"right_skip = {known.right_skip}",
    ]
    for curve, (x, y) in known.curves.items():
        lines.append(f"curves.{curve} = [" + ", ".join(f"[{a}, {b:.2f}]" for a, b in zip(x, y)) + "]")
    return "\n".join([*lines, f"cut = {list(known.cut)}", f"corresponding = {list(known.corresponding)}"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print `weights.toml`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path", type=Path)
    parser.add_argument(
        "kinds", nargs="*", default=list(KINDS), help="Some of: length, words, vectors. All when left out."
    )
    options = parser.parse_args(arguments)
    document = next(d for title, found in read_sets(options.path) if title.endswith("-dev") for d in found)
    print(HEAD)
    for kind in options.kinds:
        vectors = both_vectors(document) if kind == "vectors" else None
        print("\n" + table(kind, calibrated(weights_of(kind, document, vectors), document, vectors)), flush=True)
    return 0


def weights_of(kind: str, document: Document, vectors: Vectors | None, rounds: int = ROUNDS) -> Weights:
    """The weights of one kind of aligner, from nothing but what this file says."""
    names = KINDS[kind]
    linked = [b for b in document.gold if b[0] and b[1]]
    alone = len(document.source) + len(document.target) - sum(len(s) + len(t) for s, t in linked)
    skips = round(alone / (alone + len(linked)) / 2, 3)
    theta = np.concatenate([PRIOR, np.ones(sum(len(KNOTS[n]) - 1 for n in names))])
    for _ in range(rounds):
        known = known_by(theta, names, skips, RIGHT_SKIP[kind])
        theta = fitted(list(examples(document, known, names, vectors)), theta)
    return known_by(theta, names, skips, RIGHT_SKIP[kind])


def examples(document: Document, known: Weights, names: Sequence[str], vectors: Vectors | None) -> Iterator[Example]:
    """What the weights are fitted to."""
    for part, source, target, given, weight in variants(document, known):
        its = (vectors[0][source], vectors[1][target]) if vectors else None
        yield replace(example(part, prepared(part, known, its, **given), names), weight=weight)


def both_vectors(document: Document) -> Vectors:
    """The vectors of both sides."""
    from endonym.align.aligners.embedding import vectors_of

    return vectors_of(document.source), vectors_of(document.target)


if __name__ == "__main__":
    sys.exit(main())
