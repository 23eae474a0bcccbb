"""Whether the two sides of a pair say the same: words that translate one another, length, and names and numbers they share.

The lexicon is the one Endonym induces elsewhere (IBM model 1 in both directions), of word beginnings, so that the forms of a word
in a language with many count together; `rivals.py` compares what it says of a pair with what it says of others. It is learned in two
folds: a pair is judged by what the other fold teaches, since any pair of rare words explains itself, and pairs that share a side are
in one fold. How much each sign counts is learned by telling the project's own pairs from the same pairs shuffled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.clean.batch import Batch, Floats
from endonym.clean.letters import folds_of
from endonym.clean.mixture import Mixture
from endonym.clean.rivals import Explained, Shared
from endonym.data.lexicon import words
from endonym.data.union_find import UnionFind
from endonym.types import Pair

Stems = list[str]
Texts = tuple[str, str]
LEAST_PAIRS = 1000
"""Fewer teach a lexicon too few words to tell a free translation from none."""


class Config(BaseModel):
    """Settings of the adequacy part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stem: int = Field(
        5, ge=2, description="Letters of a word that count: the beginning holds the meaning, the rest mostly its form."
    )
    pairs: int = Field(12_000, ge=200, description="Pairs of each two languages that the lexicon is learned from.")
    rivals: int = Field(128, ge=8, description="Other pairs that each pair is compared with.")
    passes: int = Field(4, ge=1, description="Passes of the lexicon over the pairs.")
    sure: float = Field(
        0.8, ge=0.5, lt=1, description="Share of the pairs at the edge that do not translate one another."
    )


class Judge:
    """What one fold of the pairs teaches about the other."""

    def __init__(self, texts: Sequence[Texts], stems: Sequence[tuple[Stems, Stems]], cfg: Config):
        step = max(1, len(texts) // cfg.rivals)
        rivals = range(0, len(texts), step)[: cfg.rivals]
        one, other = [a for a, _ in stems], [b for _, b in stems]
        self._there = Explained(one, other, cfg.passes, rivals)
        self._back = Explained(other, one, cfg.passes, rivals)
        self._shared = Shared([a for a, _ in texts], [b for _, b in texts], rivals)

    def signs(self, texts: Sequence[Texts], stems: Sequence[tuple[Stems, Stems]]) -> Floats:
        """`[pairs, 20]`: how well each side is explained by the other, by itself and beside rivals.

        Rivals are of the pairs that taught, so that none is the pair itself.
        """
        one, other = [a for a, _ in stems], [b for _, b in stems]
        return np.hstack(
            [
                self._there.signs(one, other),
                self._back.signs(other, one),
                self._shared.signs([a for a, _ in texts], [b for _, b in texts]),
            ]
        )


def fit(sample: Batch, cfg: Config) -> Callable[[Batch], Floats]:
    """Learn a judge for every two languages with enough pairs."""
    found: dict[tuple[str, str], list[Pair]] = defaultdict(list)
    for record, trusted in zip(sample.records, sample.trusted.tolist()):
        if isinstance(record, Pair) and trusted and len(found[_key(record)]) < cfg.pairs:
            found[_key(record)].append(record)
    known = {key: _Known(pairs, cfg) for key, pairs in found.items() if len(pairs) >= LEAST_PAIRS}

    def measure(batch: Batch) -> Floats:
        values = np.full(len(batch.records), np.nan)
        places: dict[tuple[str, str], list[int]] = defaultdict(list)
        for i, record in enumerate(batch.records):
            if isinstance(record, Pair):
                places[_key(record)].append(i)
        for key, own in places.items():
            if key in known:
                values[own] = known[key].grade([(batch.records[i].source, batch.records[i].target) for i in own])  # type: ignore[union-attr]
        return values

    return measure


class _Known:
    """Judges of two languages, one a fold, the weights of the signs, and where a pair is at the edge."""

    def __init__(self, pairs: Sequence[Pair], cfg: Config):
        self.cfg = cfg
        texts = [(pair.source, pair.target) for pair in pairs]
        stems = [(self._stems(a), self._stems(b)) for a, b in texts]
        lengths = np.array([_ratio(a, b) for a, b in texts])
        self.middle = float(np.median(lengths))
        self.spread = float(np.median(np.abs(lengths - self.middle))) * 1.4826 + 1e-3
        folds = divided(texts)
        self._fold_of = {text: fold for pair, fold in zip(texts, folds) for text in reversed(pair)}
        self.judges = []
        for fold in (0, 1):
            taught = [i for i, own in enumerate(folds) if own != fold]
            self.judges.append(Judge([texts[i] for i in taught], [stems[i] for i in taught], cfg))
        shuffled = _shuffled(texts, folds)
        good, bad = self._signs(texts, folds), self._signs(shuffled, folds)
        self.mixture = Mixture.fitted(good, bad, cfg.sure)

    def grade(self, texts: Sequence[Texts]) -> Floats:
        """0 to 1 for each pair of texts."""
        chance = folds_of([a for a, _ in texts]).tolist()
        folds = [self._fold_of.get(a, self._fold_of.get(b, fold)) for (a, b), fold in zip(texts, chance)]
        return self.mixture.grade(self._signs(texts, folds))

    def _stems(self, text: str) -> Stems:
        return [word[: self.cfg.stem] for word in words(text.casefold())]

    def _signs(self, texts: Sequence[Texts], folds: Sequence[int]) -> Floats:
        stems = [(self._stems(a), self._stems(b)) for a, b in texts]
        rows = []
        for a, b in texts:
            size = np.log(10 + min(len(a), len(b)))
            away = abs(_ratio(a, b) - self.middle) / self.spread
            rows.append([away, min(away, 3.0) * size, _shared(a, b), size])
        signs = np.array(rows, dtype=np.float64).reshape(len(texts), 4)
        parts = [np.flatnonzero(np.array(folds) == fold).tolist() for fold in range(len(self.judges))]
        judged = [
            judge.signs([texts[i] for i in own], [stems[i] for i in own])
            for judge, own in zip(self.judges, parts)
            if own
        ]
        # Both folds one after the other, and back into the order of the texts.
        return np.hstack([np.concatenate(judged)[np.argsort(np.concatenate(parts))], signs])


def _key(pair: Pair) -> tuple[str, str]:
    return pair.source_language, pair.target_language


def divided(texts: Sequence[Texts]) -> list[int]:
    """Fold of each pair, 0 or 1; pairs that share a side are in the same, unless that would leave one fold with next to nothing."""
    sets = UnionFind(len(texts))
    for side in (0, 1):
        first: dict[str, int] = {}
        for i, pair in enumerate(texts):
            sets.join(first.setdefault(pair[side], i), i)
    chance = folds_of([a for a, _ in texts]).tolist()
    folds = [chance[group] for group in sets.groups()]
    return folds if min(folds.count(0), folds.count(1)) >= len(texts) / 4 else chance


def _ratio(source: str, target: str) -> float:
    return float(np.log((len(target) + 10) / (len(source) + 10)))


def _shared(source: str, target: str) -> float:
    """Longer words and numbers that stand on both sides as they are, against those that could."""
    first, second = ({w for w in words(text.casefold()) if len(w) > 3 or w[0].isdigit()} for text in (source, target))
    return len(first & second) / np.sqrt(2 + min(len(first), len(second)))


def _shuffled(texts: Sequence[Texts], folds: Sequence[int]) -> list[Texts]:
    """Every source with the target of another pair of its fold."""
    rng = np.random.default_rng(5)
    made = list(texts)
    for fold in (0, 1):
        own = [i for i, f in enumerate(folds) if f == fold]
        order = rng.permutation(own).tolist()
        for i, j in zip(order, order[1:] + order[:1]):
            made[i] = (texts[i][0], texts[j][1])
    return made
