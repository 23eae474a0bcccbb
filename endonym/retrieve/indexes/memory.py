"""Nearest training pairs by character n-grams and words, so that a new sentence can lean on known ones.

Cosine over TF-IDF weighted features: whole words and character 3- to 5-grams inside word boundaries, which find
inflected forms of a word in any script. Scores are exact; with tens of thousands of short pairs a search takes
about a millisecond.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.data.lexicon import words
from endonym.types import Pair


class Config(BaseModel):
    """Settings of the nearest-pair index."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shortest: int = Field(3, ge=1, description="Shortest character n-gram.")
    longest: int = Field(5, ge=1, description="Longest character n-gram.")


def features(text: str, cfg: Config) -> Counter[str]:
    """Count the features of a text: `=word`, and character n-grams of `_word_`."""
    counts: Counter[str] = Counter()
    for word in words(text.casefold()):
        counts["=" + word] += 2
        padded = f"_{word}_"
        for size in range(cfg.shortest, cfg.longest + 1):
            for start in range(len(padded) - size + 1):
                counts[padded[start : start + size]] += 1
    return counts


class MemoryIndex:
    """Inverted index over texts; `groups[i]` are the group keys of text i (see `search`)."""

    def __init__(self, texts: Sequence[str], cfg: Config | None = None, groups: Sequence[Collection[str]] = ()):
        self.cfg = cfg or Config()
        self.texts = list(texts)
        self.groups = [frozenset(g) for g in groups] or [frozenset() for _ in texts]
        self._members: dict[str, list[int]] = {}
        for i, keys in enumerate(self.groups):
            for key in keys:
                self._members.setdefault(key, []).append(i)
        counted = [features(t, self.cfg) for t in self.texts]
        df: Counter[str] = Counter(f for counts in counted for f in counts)
        self.ids = {feature: n for n, feature in enumerate(df)}
        total = max(1, len(self.texts))
        self.idf = np.log((1 + total) / (1 + np.fromiter(df.values(), dtype=np.float64, count=len(df)))) + 1.0
        terms, owners, weights = [], [], []
        for i, counts in enumerate(counted):
            ids = np.fromiter((self.ids[f] for f in counts), dtype=np.int64, count=len(counts))
            values = np.sqrt(np.fromiter(counts.values(), dtype=np.float64, count=len(counts))) * self.idf[ids]
            norm = float(np.linalg.norm(values)) or 1.0
            terms.append(ids)
            owners.append(np.full(len(ids), i, dtype=np.int32))
            weights.append((values / norm).astype(np.float32))
        term = np.concatenate(terms) if terms else np.empty(0, dtype=np.int64)
        order = np.argsort(term, kind="stable")
        self.owners = (np.concatenate(owners) if owners else np.empty(0, dtype=np.int32))[order]
        self.weights = (np.concatenate(weights) if weights else np.empty(0, dtype=np.float32))[order]
        self.starts = np.searchsorted(term[order], np.arange(len(df) + 1))

    def search(
        self, query: str, k: int = 1, exclude: Collection[str] = (), novelty: float = 0.0
    ) -> list[tuple[float, int]]:
        """Return the `k` nearest texts as `(cosine, position)`, best first.

        Texts that share a group key with `exclude` are passed over. With `novelty` above 0, what a chosen text already
        covers counts that much less (0 to 1) for the next one, so that together they cover more of the query.
        """
        if not self.texts:
            return []
        known = [(self.ids[f], n) for f, n in features(query, self.cfg).items() if f in self.ids]
        if not known:
            return []
        ids = np.array([i for i, _ in known])
        weights = np.sqrt(np.array([n for _, n in known], dtype=np.float64)) * self.idf[ids]
        weights /= np.linalg.norm(weights)
        barred = [i for key in exclude for i in self._members.get(key, ())]
        found: list[tuple[float, int]] = []
        if novelty <= 0:
            scores = self._scores(ids, weights)
            scores[barred] = -1.0
            top = np.argsort(-scores, kind="stable")[:k]
            return [(float(scores[i]), int(i)) for i in top if scores[i] > 0]
        for _ in range(k):
            scores = self._scores(ids, weights)
            scores[barred] = -1.0
            best = int(np.argmax(scores))
            if scores[best] <= 0:
                break
            found.append((float(scores[best]), best))
            barred.append(best)
            covered = features(self.texts[best], self.cfg)
            has = np.array([f in covered for f in (self._feature(i) for i in ids)])
            weights = np.where(has, weights * (1.0 - novelty), weights)
        return found

    def _scores(self, ids: np.ndarray, weights: np.ndarray) -> np.ndarray:
        spans = [slice(self.starts[i], self.starts[i + 1]) for i in ids]
        owners = np.concatenate([self.owners[s] for s in spans])
        values = np.concatenate([self.weights[s] * w for s, w in zip(spans, weights, strict=True)])
        return np.bincount(owners, weights=values, minlength=len(self.texts))

    def _feature(self, number: int) -> str:
        if not hasattr(self, "_names"):
            self._names = list(self.ids)
        return self._names[number]


def groups_of(pair: Pair) -> list[str]:
    """Group keys of a pair: itself, its headwords, whose other examples say much the same, and what it was made of."""
    made_from = (f"id:{identity}" for identity in pair.meta.get("made_from", ()))
    return [f"id:{pair.id}", *(f"headword:{h}" for h in pair.meta.get("headwords", ())), *made_from]


def build(pairs: Sequence[Pair], cfg: Config, out: Path) -> None:
    """Store what the index is made of; it is rebuilt in memory by `load`, which takes about a second for 10,000 pairs."""
    rows = [
        {"languages": [p.source_language, p.target_language], "texts": [p.source, p.target], "groups": groups_of(p)}
        for p in pairs
    ]
    data = {"config": cfg.model_dump(), "pairs": rows}
    (out / "memory.json").write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")


class PairMemory:
    """Training pairs searchable from either language."""

    def __init__(self, rows: Sequence[dict], cfg: Config):
        self.rows = list(rows)
        self.cfg = cfg
        self._indexes: dict[str, tuple[MemoryIndex, list[int]]] = {}

    @classmethod
    def load(cls, folder: Path) -> PairMemory:
        data = json.loads((folder / "memory.json").read_text(encoding="utf-8"))
        return cls(data["pairs"], Config(**data["config"]))

    def search(
        self,
        text: str,
        source_language: str,
        target_language: str,
        k: int = 1,
        exclude: Collection[str] = (),
        novelty: float = 0.0,
    ) -> list[tuple[float, str, str, list[str]]]:
        """The `k` nearest pairs in the given direction as `(cosine, source, target, group keys)`."""
        key = f"{source_language}>{target_language}"
        if key not in self._indexes:
            wanted = [i for i, r in enumerate(self.rows) if set(r["languages"]) == {source_language, target_language}]
            texts = [self._side(i, source_language) for i in wanted]
            self._indexes[key] = (MemoryIndex(texts, self.cfg, [self.rows[i]["groups"] for i in wanted]), wanted)
        index, wanted = self._indexes[key]
        found = index.search(text, k, exclude, novelty)
        return [
            (
                score,
                self._side(wanted[i], source_language),
                self._side(wanted[i], target_language),
                self.rows[wanted[i]]["groups"],
            )
            for score, i in found
        ]

    def _side(self, i: int, language: str) -> str:
        row = self.rows[i]
        return str(row["texts"][row["languages"].index(language)])
