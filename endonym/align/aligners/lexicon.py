"""Align by length and by words that translate each other, found in the project's dictionary, its pairs and the texts themselves.

Words count as translations when they look alike (names, numbers, loans), when the lexicon says so, and when they keep meeting in
the beads of the pass before: two or three passes of align and learn (as in Varga et al., hunalign, RANLP 2005; Moore, AMTA
2002). A bead is scored by how much of it is said on both sides, by its lengths and by its shape, both as in
aligning by length. The weights of words and of skips are the middle of a range in which the result on the German-French `dev`
text of the vecalign repository hardly changes (strict F1 0.830 to 0.837); no other gold decided them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.align.aligners import length as by_length
from endonym.align.beads import (
    Bead,
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
)
from endonym.align.cognates import cognates
from endonym.align.overlap import Overlap, Table, best_of
from endonym.data.lexicon import Lexicon, model1, words
from endonym.data.scripts import APOSTROPHES
from endonym.types import Link

_PRIORS = by_length.PRIORS
SHAPES: dict[Shape, float] = {
    shape: float(np.log(_PRIORS[1, 1] / chance)) if all(shape) else 0.0 for shape, chance in _PRIORS.items()
}
"""Cost of each shape of bead: how much rarer than one to one the priors of aligning by length say it is."""
CUT = (0.365, -0.226)
"""Logistic fit on the beads of `dev`: constant, weight of the doubts about a bead."""
CORRESPONDING = (0.141, 0.674, 0.511, -0.068, -2.298)
"""Logistic fit that tells the beads of `dev` from beads of `dev` with its target turned by a third: constant, weights of the overlap of
the two sides, of the mean overlap of five beads around, of the cost, and of the mean cost of five beads around."""
ANCHORED = 2.0
"""Log odds that anchors add to the texts corresponding; a judgement, no fit."""
CORRIDOR = (48, 10)
"""Sentences looked at to either side of the path before, in the first pass and in later ones. The first must reach across
the longest passage that one text lacks (36 sentences in `dev`): where it does not, words are learned from a wrong path."""
UNSURE_RATIO = 0.2
"""Log of the ratio of lengths from which it may come from a passage that one text lacks."""
LEAST_BEADS = 8
"""Beads from which a ratio of lengths is believed."""
LEAST_LEARNED = 0.1
_ONE_APOSTROPHE = str.maketrans(dict.fromkeys(APOSTROPHES, "'"))
WORST_LENGTH = 30.0
"""Lengths say no more than this against a bead."""


class Config(BaseModel):
    """Settings of aligning by words and length."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    passes: int = Field(
        3, ge=1, le=9, description="Times the texts are aligned; each pass learns words from the one before."
    )
    overlap_weight: float = Field(28.0, gt=0, description="Weight of the words that translate each other.")
    length_weight: float = Field(1.0, ge=0, description="Weight of the lengths.")
    skip_cost: float = Field(4.0, ge=0, description="Cost of leaving a sentence without a partner.")
    variance: float = Field(6.8, gt=0, description="Variance of the target's length per character of source.")
    cognate: float = Field(0.6, ge=0, le=1, description="Likeness from which two words count as the same word.")


def align(
    source: Sequence[str],
    target: Sequence[str],
    cfg: Config,
    *,
    lexicon: Lexicon | None = None,
    anchors: Sequence[tuple[int, int]] = (),
) -> Iterator[Link]:
    """Yield the links in order. `lexicon` knows translations; `anchors` are positions `(i, j)` known to correspond."""
    text = _Texts(source, target, cfg, lexicon, anchors)
    table = text.known
    overlap = Overlap(text.source, text.target, table)
    paths = text.first(overlap)
    spans = text.shifted(paths)
    for _ in range(cfg.passes - 1):
        text.ratio = text.ratio_of(overlap, spans)
        table = best_of(text.known, learned(text.source, text.target, [b for p in spans for b in p]))
        overlap = Overlap(text.source, text.target, table)
        paths = text.search(overlap, spans, CORRIDOR[1])
        spans = text.shifted(paths)
    shared = [[overlap(*s, *t) if s[0] < s[1] and t[0] < t[1] else 0.0 for s, t in beads] for beads in spans]
    unsure = [doubts(path, tuple(SHAPES), text.cost(overlap, part)) for path, part in zip(paths, text.parts)]
    costs = [cost for path in paths for cost in path.costs]
    if not costs:
        return
    sure = iter(confidence(np.concatenate(unsure), np.concatenate(shared), np.array(costs), bool(anchors)))
    for path, part in zip(paths, text.parts):
        yield from links(path, part, [next(sure) for _ in path.beads])


def confidence(unsure: Floats, shared: Floats, costs: Floats, anchored: bool) -> list[float]:
    """Chance that each bead is right: that the texts correspond here at all, and that the bead is cut at the right places.

    Between anchors there is reason to believe the first before a word is compared.
    """
    cut = logistic(CUT, [unsure])
    constant = CORRESPONDING[0] + ANCHORED * anchored
    corresponding = logistic((constant, *CORRESPONDING[1:]), [shared, around(shared), costs, around(costs)])
    return [a * b for a, b in zip(cut, corresponding)]


class _Texts:
    """Two texts as words and lengths, with what is known of them before the first pass."""

    def __init__(
        self,
        source: Sequence[str],
        target: Sequence[str],
        cfg: Config,
        lexicon: Lexicon | None,
        anchors: Sequence[tuple[int, int]],
    ):
        self.cfg = cfg
        self.source = [words(plain(s)) for s in source]
        self.target = [words(plain(s)) for s in target]
        self.lengths = lengths(source), lengths(target)
        totals = self.lengths[0].sum(), self.lengths[1].sum()
        self.ratio = totals[1] / totals[0] if all(totals) else 1.0
        self.parts = list(in_segments(len(source), len(target), anchors))
        vocabulary = sorted({w for s in self.source for w in s})
        other = sorted({w for s in self.target for w in s})
        given = {word: lexicon.p(word) for word in vocabulary if word in lexicon} if lexicon else {}
        self.known: Table = best_of(
            cognates(vocabulary, other, cfg.cognate), {w: _relative(row) for w, row in given.items()}
        )
        self.anchors = anchors

    def first(self, overlap: Overlap) -> list[Path]:
        """Paths of the first pass, from the better of two guesses at the ratio of lengths.

        The ratio of the whole texts is right unless one of them lacks a long passage; then it makes every true bead look wrong, and
        equal lengths are the better guess. The cheaper way is believed.
        """
        x, y = self.lengths
        found = []
        for ratio in dict.fromkeys((self.ratio, 1.0) if abs(np.log(self.ratio)) > UNSURE_RATIO else (self.ratio,)):
            self.ratio = ratio
            guess = self.shifted([by_length.search(x[s], y[t], ratio, self.cfg.variance) for s, t in self.parts])
            paths = self.search(overlap, guess, CORRIDOR[0])
            found.append((sum(c for p in paths for c in p.costs), ratio, paths))
        _, self.ratio, best = min(found, key=lambda item: item[0])
        return best

    def ratio_of(self, overlap: Overlap, spans: Sequence[Sequence[Bead]]) -> float:
        """Ratio of lengths over the half of the beads that share most words; the one before when there are few."""
        whole = [(s, t) for beads in spans for s, t in beads if s[0] < s[1] and t[0] < t[1]]
        shared = np.array([overlap(*s, *t) for s, t in whole])
        best = [whole[k] for k in np.argsort(-shared, kind="stable")[: len(whole) // 2] if shared[k] > 0]
        x, y = (
            (sum(side[a:b].sum() for a, b in places) for side, places in zip(self.lengths, zip(*best)))
            if best
            else (0.0, 0.0)
        )
        return y / x if len(best) >= LEAST_BEADS and x and y else self.ratio

    def search(self, overlap: Overlap, guess: Sequence[Sequence[Bead]], corridor: int) -> list[Path]:
        """Best path of every part, near the guess."""
        return [self._search(overlap, part, beads, corridor) for part, beads in zip(self.parts, guess)]

    def cost(self, overlap: Overlap, part: tuple[slice, slice]) -> Cost:
        """Cost of a bead of this part: its shape, how unlikely its lengths are, and what its sides do not share."""
        cfg, (s, t) = self.cfg, part
        by_lengths = length_cost(self.lengths[0][s], self.lengths[1][t], self.ratio, cfg.variance)

        def cost(shape: Shape, i: int, low: int, high: int) -> Floats:
            n, m = shape
            if not n or not m:
                return np.full(high - low, cfg.skip_cost)
            a, b, c = s.start + i - n, s.start + i, t.start
            shared = np.array([overlap(a, b, c + j - m, c + j) for j in range(low, high)])
            far = np.minimum(by_lengths(shape, i, low, high), WORST_LENGTH)
            return SHAPES[shape] + cfg.length_weight * far - cfg.overlap_weight * shared

        return cost

    def shifted(self, paths: Sequence[Path]) -> list[list[Bead]]:
        """Beads with positions in the whole texts."""
        moved = []
        for path, (s, t) in zip(paths, self.parts):
            i, j = s.start, t.start
            moved.append([((a + i, b + i), (c + j, d + j)) for (a, b), (c, d) in path.beads])
        return moved

    def _search(self, overlap: Overlap, part: tuple[slice, slice], guess: Sequence[Bead], corridor: int) -> Path:
        s, t = part
        x, y = self.lengths[0][s], self.lengths[1][t]
        expected = [0] * (len(x) + 1)
        for (a, b), (_, d) in guess:
            expected[a - s.start + 1 : b - s.start + 1] = [d - t.start] * (b - a)
        for i in range(1, len(expected)):
            expected[i] = max(expected[i], expected[i - 1])
        return cheapest(len(x), len(y), tuple(SHAPES), self.cost(overlap, part), expected, corridor)


def learned(
    source: Sequence[Sequence[str]], target: Sequence[Sequence[str]], beads: Sequence[Bead]
) -> dict[str, dict[str, float]]:
    """Translations that small beads suggest: words that met at least twice and that model 1 pairs in both directions."""
    pairs = [
        ([w for s in source[a:b] for w in s], [w for s in target[c:d] for w in s])
        for (a, b), (c, d) in beads if a < b and c < d and b - a + d - c <= 4
    ]  # fmt: skip
    met = Counter((w, t) for x, y in pairs for w in set(x) for t in set(y))
    forward = model1([x for x, _ in pairs], [y for _, y in pairs])
    backward = model1([y for _, y in pairs], [x for x, _ in pairs])
    table: dict[str, dict[str, float]] = {}
    for word, row in forward.items():
        for other, p in row.items():
            times = met[word, other]
            score = (p * backward.get(other, {}).get(word, 0.0)) ** 0.5 * times / (times + 1)
            if times >= 2 and score >= LEAST_LEARNED:
                table.setdefault(word, {})[other] = score
    return table


def plain(text: str) -> str:
    """Text as it is compared: case folded, and one apostrophe for all, since two files often type it differently."""
    return text.casefold().translate(_ONE_APOSTROPHE)


def _relative(row: dict[str, float]) -> dict[str, float]:
    """Scores of a word's translations relative to the likeliest: each of its senses may be the one meant."""
    most = max(row.values(), default=1.0)
    return {plain(other): p / most for other, p in row.items() if p >= LEAST_LEARNED * most}
