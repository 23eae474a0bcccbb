"""Align two texts in passes: find the best beads, learn from them which words translate each other, and find them again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from endonym.align.evidence import Evidence, Ints, Side, Singles
from endonym.align.lattice import Shape
from endonym.align.learn import Bead, Pairings, learned
from endonym.align.numbers import Floats, around, in_segments, lengths, logistic
from endonym.align.potentials import Text, Weights, nearest_of, weights
from endonym.align.search import Found, likenesses, made_sure, search
from endonym.align.words import known_words, words_of
from endonym.data.lexicon import Lexicon
from endonym.types import Link

Number = TypeVar("Number", np.float32, np.float64)
UNSURE_RATIO = 0.2
"""Log of the ratio of lengths from which it may come from a passage that one text lacks."""
SHORT = 1000.0
"""Characters of beads that say as much about the ratio of lengths of a part as all other parts do."""
SURE = 0.5
"""Chance from which a bead counts towards the ratio of lengths."""
USUAL = 100
"""Beads with the usual share of skips that are added to those of the texts when skips are counted."""


ENDS = (".。।॥።։۔᠃…", "?？؟፧՞", "!！՜", ";；؛፤", ":：፦፡", ",，、،፣")
"""Signs that end a sentence or a piece of it, by kind: full stop, question, exclamation, semicolon, colon, comma."""
_KIND_OF_END = {sign: kind for kind, signs in reversed(list(enumerate(ENDS, 1))) for sign in signs}
_CLOSING = " \t\n\r\u00a0\u202f»«›‹”“’‘\"')]}）」』】"
_OPENING = " \t\n\r\u00a0\u202f»«›‹”“’‘„‚\"'([{（「『【-–—•*¿¡"


TYPICAL = 0.25
"""Likeness by words that beads of one sentence and one are scaled to have in the middle."""
MOST_SCALE = 1.0
FEW = 4
"""Sure beads below which nothing is scaled."""


class Texts:
    """Two texts that are aligned between anchors, in passes."""

    def __init__(
        self,
        source: Sequence[str],
        target: Sequence[str],
        known: Weights,
        anchors: Sequence[Shape] = (),
        vectors: tuple[Singles, Singles] | None = None,
    ):
        """`vectors` hold one row a sentence."""
        self.known = self.adapted = known
        self.lengths = lengths(source), lengths(target)
        x, y = self.lengths
        self.vectors = (_weighed(vectors[0], x), _weighed(vectors[1], y)) if vectors else None
        self.nearest: dict[tuple[int, ...], tuple[Singles, Singles]] = {}
        self.begins, self.ends = (begins_of(source), begins_of(target)), (ends_of(source), ends_of(target))
        self.parts = list(in_segments(len(source), len(target), anchors))
        self.ratio = 1.0
        self.ratios = self._ratios([[((s.start, s.stop), (t.start, t.stop))] for s, t in self.parts])
        self.evidence: Evidence | None = None
        self.found: list[Found] = []

    def look(self) -> None:
        """Find the beads of every part with what is known."""
        self.found = [self._look(k) for k in range(len(self.parts))]
        self.ratios = self._ratios()
        self.adapted = self._adapted()

    def _look(self, k: int) -> Found:
        """The beads of a part.

        Before anything is known, the ratio of the lengths of its whole sides is right unless one lacks a long passage: then it
        makes every true bead look wrong. So where it is far from that of all parts, or from 1, that is tried too, and the better way is believed.
        """
        part, tried = self.parts[k], []
        other = self.ratio if len(self.parts) > 1 else 1.0
        unlikely = not self.found and abs(np.log(self.ratios[k] / other)) > UNSURE_RATIO
        for ratio in (self.ratios[k], other) if unlikely else (self.ratios[k],):
            text = self._text(part, ratio)
            way, score = search(text, self.adapted, partial(self._text, part, ratio))
            tried.append((score, ratio, way))
        _, ratio, way = max(tried)
        return made_sure(self._text(part, ratio), self.adapted, way)

    def _adapted(self) -> Weights:
        """The weights with skips of either side as cheap as they are frequent in these texts.

        After Saerens, Latinne and Decaestecker, Adjusting the Outputs of a Classifier to New a Priori Probabilities (Neural
        Computation 14, 2002), a step of their expectation maximization each pass. A part with one side alone tells nothing.
        """
        both = [
            found.expected for found, (s, t) in zip(self.found, self.parts) if s.start < s.stop and t.start < t.stop
        ]
        expected = np.sum([np.zeros(len(self.known.shapes)), *both], axis=0)
        usual, total = self.known.skips, expected.sum() + USUAL
        shapes = {
            shape: score + (float(np.log((count + USUAL * usual) / (total * usual))) if 0 in shape else 0.0)
            for (shape, score), count in zip(self.known.shapes.items(), expected)
        }
        return replace(self.known, shapes=shapes)

    def learn(self, source: Side, target: Side, given: Pairings) -> None:
        """Take `given` and what the beads found suggest as the words that translate each other."""
        sure = np.array([chance for found in self.found for chance in found.chances])
        suggested = learned(source, target, self.beads(), sure)
        self.evidence = suggested.best_of(given, len(target.numbers)).between(source, target)
        shared = [
            alike
            for part, ratio, found in zip(self.parts, self.ratios, self.found)
            for alike, chance, (a, c), (b, d) in zip(
                likenesses(self._text(part, ratio), self.known, found.points, "words"),
                found.chances, found.points, found.points[1:],
            )
            if chance >= SURE and (b - a, d - c) == (1, 1)
        ]  # fmt: skip
        if len(shared) >= FEW:
            self.evidence.scale = min(MOST_SCALE, TYPICAL / max(float(np.median(shared)), 1e-6))

    def beads(self) -> list[Bead]:
        """The beads found, with positions in the whole texts."""
        return [
            ((s.start + a, s.start + b), (t.start + c, t.start + d))
            for found, (s, t) in zip(self.found, self.parts)
            for (a, c), (b, d) in zip(found.points, found.points[1:])
        ]

    def links(self) -> Iterator[Link]:
        """The beads found with their confidence: that the texts correspond here at all, and that the cuts are right."""
        beads = iter(self.beads())
        for odds, signs in self.measures():
            cut, corresponding = logistic(self.known.cut, [odds]), logistic(self.known.corresponding, signs)
            for a, b in zip(cut, corresponding):
                (i, j), (k, m) = next(beads)
                yield Link(tuple(range(i, j)), tuple(range(k, m)), round(a * b, 4))

    def measures(self) -> Iterator[tuple[Floats, list[Floats]]]:
        """What confidence is made of, for the beads found in each part: log odds of their chance, and what tells whether the
        texts correspond here: how like the two sides are and their score, by itself and with the beads around."""
        for part, ratio, found in zip(self.parts, self.ratios, self.found):
            chance = np.clip(np.array(found.chances), 1e-6, 1 - 1e-6)
            alike = likenesses(self._text(part, ratio), self.known, found.points)
            scores = np.array(found.scores)
            yield np.log(chance / (1 - chance)), [alike, around(alike), scores, around(scores)]

    def _text(self, part: tuple[slice, slice], ratio: float, size: int = 1) -> Text:
        """A part of both texts, with each `size` sentences joined to one."""
        s, t = part
        x, y = self.lengths[0][s], self.lengths[1][t]
        vectors = (_sums(self.vectors[0][s], size), _sums(self.vectors[1][t], size)) if self.vectors else None
        key = s.start, s.stop, t.start, t.stop, size
        if vectors and key not in self.nearest:
            self.nearest[key] = nearest_of(*vectors)
        nearest = self.nearest.get(key)
        if size == 1:
            begins, ends = ((side[0][s], side[1][t]) for side in (self.begins, self.ends))
            return Text((x, y), ratio, self.evidence, vectors, (s.start, t.start), begins, ends, nearest)
        evidence = self.evidence.joined(s, t, size) if self.evidence else None
        return Text((_sums(x, size), _sums(y, size)), ratio, evidence, vectors, nearest=nearest)

    def _ratios(self, beads: Sequence[Sequence[Bead]] | None = None) -> list[float]:
        """Ratio of lengths of each part over its surest beads, drawn to that of all parts where they are short."""
        if beads is None:
            beads = [
                [((a + s.start, b + s.start), (c + t.start, d + t.start))
                 for (a, c), (b, d), chance in zip(found.points, found.points[1:], found.chances)
                 if chance >= SURE and a < b and c < d]
                for found, (s, t) in zip(self.found, self.parts)
            ]  # fmt: skip
        sums = np.array(
            [
                [sum(float(side[b[k][0] : b[k][1]].sum()) for b in part) for part in beads]
                for k, side in enumerate(self.lengths)
            ]
        )
        if sums.sum(1).all():
            self.ratio = float(sums[1].sum() / sums[0].sum())
        return [float((y + SHORT * self.ratio) / (x + SHORT)) for x, y in sums.T]


def _weighed(vectors: Singles, lengths: Floats) -> Singles:
    """Vectors from their mean, which tells more of the language than of the sentence, as long as the root of the lengths."""
    centred = vectors - vectors.mean(0, keepdims=True) if len(vectors) > 1 else vectors
    norms = np.maximum(np.linalg.norm(centred, axis=1), 1e-6)
    return (centred * (np.sqrt(np.maximum(1.0, lengths)) / norms)[:, None]).astype(np.float32)


def in_passes(
    texts: Texts,
    source: Sequence[str],
    target: Sequence[str],
    lexicon: Lexicon | None,
    passes: int,
    cognate: float = 0.6,
) -> Iterator[Link]:
    """Align by words as well, as often as asked: each pass learns from the one before which words translate each other."""
    here, there = (Side.of(words_of(sentence) for sentence in side) for side in (source, target))
    given = known_words(here, there, lexicon, cognate)
    texts.evidence = given.between(here, there)
    texts.look()
    for _ in range(passes - 1):
        texts.learn(here, there, given)
        texts.look()
    yield from texts.links()


def way_by_lengths(source: Sequence[str], target: Sequence[str]) -> list[Shape]:
    """Positions that the likeliest way passes by the lengths of two texts alone."""
    texts = Texts(source, target, weights()["length"])
    texts.look()
    return texts.found[0].points if texts.found else []


def _sums(values: NDArray[Number], size: int) -> NDArray[Number]:
    """Sums of each `size` values or rows, and of what is left."""
    return np.add.reduceat(values, np.arange(0, len(values), size), axis=0) if len(values) and size > 1 else values


def begins_of(sentences: Sequence[str]) -> Ints:
    """The kind of character each sentence begins with, dashes, bullets, quotation marks and brackets left out: a small letter, which
    says that it goes on from the one before, a digit, nothing at all, or another."""
    first = (s.lstrip(_OPENING)[:1] for s in sentences)
    return np.array([1 if c.islower() else 2 if c.isdigit() else 3 if not c else 0 for c in first], dtype=np.int64)


def ends_of(sentences: Sequence[str]) -> Ints:
    """The kind of sign each sentence ends in, in whatever script, quotation marks and brackets left out."""
    return np.array([_KIND_OF_END.get(s.rstrip(_CLOSING)[-1:], 0) for s in sentences], dtype=np.int64)
