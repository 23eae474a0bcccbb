"""Whether the two sides of a pair say the same: words that translate one another, length, and names and numbers they share.

The lexicon is the one Endonym induces elsewhere (IBM model 1 in both directions), of word beginnings, so that the forms of a word
in a language with many count together. It is learned in folds: a pair is judged by what the other pairs teach, since any pair
of rare words explains itself. How much each sign counts is learned by telling the project's own pairs from the same pairs
shuffled.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.clean.batch import Batch, Floats
from endonym.clean.letters import folds_of
from endonym.clean.mixture import Mixture
from endonym.data.lexicon import model1, words
from endonym.types import Pair

Stems = list[str]
LEAST_PAIRS = 1000
"""Fewer teach a lexicon too few words to tell a free translation from none."""


class Config(BaseModel):
    """Settings of the adequacy part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stem: int = Field(
        5, ge=2, description="Letters of a word that count: the beginning holds the meaning, the rest mostly its form."
    )
    pairs: int = Field(12_000, ge=200, description="Pairs of each two languages that the lexicon is learned from.")
    passes: int = Field(4, ge=1, description="Passes of the lexicon over the pairs.")
    lost: float = Field(0.002, ge=0, lt=0.5, description="Share of good pairs that may lie beyond the edge.")


class Judge:
    """What one fold of the pairs teaches about the other."""

    def __init__(self, pairs: Sequence[tuple[Stems, Stems]], cfg: Config):
        sources, targets = [a for a, _ in pairs], [b for _, b in pairs]
        self.forward = model1(sources, targets, cfg.passes)
        self.backward = model1(targets, sources, cfg.passes)
        self.usual = [_shares(side) for side in (targets, sources)]

    def signs(self, source: Stems, target: Stems) -> list[float]:
        """How much better each side is explained by the other than by chance, in nats a known word, and how many are known."""
        found: list[float] = []
        for given, explained, table, usual in (
            (source, target, self.forward, self.usual[0]),
            (target, source, self.backward, self.usual[1]),
        ):
            rows = [row for word in set(given) if (row := table.get(word))]
            gain, known = 0.0, 0
            for word in explained:
                chance = usual.get(word)
                if chance:
                    best = max((row.get(word, 0.0) for row in rows), default=0.0)
                    gain += np.log(max(best, 0.2 * chance, 1e-4) / chance)
                    known += 1
            found += [gain / (known + 2), gain / np.sqrt(known + 2)]
        return found


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
        folds = _folds(texts)
        self.judges = [Judge([pair for pair, own in zip(stems, folds) if own != fold], cfg) for fold in (0, 1)]
        shuffled = _shuffled(texts, folds)
        good, bad = self._signs(texts, folds), self._signs(shuffled, _folds(shuffled, folds))
        self.mixture = Mixture.fitted(good, bad, cfg.lost)

    def grade(self, texts: Sequence[tuple[str, str]]) -> Floats:
        """0 to 1 for each pair of texts."""
        return self.mixture.grade(self._signs(texts, _folds(texts)))

    def _stems(self, text: str) -> Stems:
        return [word[: self.cfg.stem] for word in words(text.casefold())]

    def _signs(self, texts: Sequence[tuple[str, str]], folds: Sequence[int]) -> Floats:
        rows = []
        for (a, b), fold in zip(texts, folds):
            source, target = self._stems(a), self._stems(b)
            size = np.log(10 + min(len(a), len(b)))
            away = abs(_ratio(a, b) - self.middle) / self.spread
            shared = _shared(a, b)
            rows.append([*self.judges[fold].signs(source, target), away, min(away, 3.0) * size, shared, size])
        return np.array(rows, dtype=np.float64)


def _key(pair: Pair) -> tuple[str, str]:
    return pair.source_language, pair.target_language


def _shares(texts: Sequence[Stems]) -> dict[str, float]:
    counts = Counter(word for text in texts for word in set(text))
    return {word: (number + 0.5) / len(texts) for word, number in counts.items()}


def _folds(texts: Sequence[tuple[str, str]], given: Sequence[int] = ()) -> list[int]:
    return list(given) or folds_of([a for a, _ in texts]).tolist()


def _ratio(source: str, target: str) -> float:
    return float(np.log((len(target) + 10) / (len(source) + 10)))


def _shared(source: str, target: str) -> float:
    """Longer words and numbers that stand on both sides as they are, against those that could."""
    first, second = ({w for w in words(text.casefold()) if len(w) > 3 or w[0].isdigit()} for text in (source, target))
    return len(first & second) / np.sqrt(2 + min(len(first), len(second)))


def _shuffled(texts: Sequence[tuple[str, str]], folds: Sequence[int]) -> list[tuple[str, str]]:
    """Every source with the target of another pair of its fold."""
    rng = np.random.default_rng(5)
    made = list(texts)
    for fold in (0, 1):
        own = [i for i, f in enumerate(folds) if f == fold]
        order = rng.permutation(own).tolist()
        for i, j in zip(order, order[1:] + order[:1]):
            made[i] = (texts[i][0], texts[j][1])
    return made
