"""How well a text's letters run as those of a language: character 4-grams, counted in hashed tables, for many texts at once.

Each order is smoothed towards the next shorter one with a Dirichlet prior (MacKay and Peto, A Hierarchical Dirichlet Language Model,
Natural Language Engineering 1995).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ORDER = 4
BITS = 18
PRIOR = 4.0
ALPHABET = 300.0
FOLDS = 2


@dataclass(frozen=True)
class Runs:
    """The n-grams of some texts: `places[k][i]` is the place in a table of the (k + 1)-gram that ends with letter `i`."""

    places: list[NDArray[np.int32]]
    contexts: list[NDArray[np.int32]]
    owners: NDArray[np.int64]
    folds: NDArray[np.int64]
    """Of each text."""

    @classmethod
    def of(cls, texts: Sequence[str]) -> Runs:
        """Lay out texts; letters of one do not see those of another."""
        pad = "\n" * (ORDER - 1)
        folded = [pad + text.casefold() + "\n" for text in texts]
        codes = np.frombuffer("".join(folded).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
        lengths = np.fromiter(map(len, folded), np.int64, len(folded))
        starts = np.cumsum(lengths) - lengths
        inside = np.ones(len(codes), bool)
        for k in range(ORDER - 1):
            inside[starts + k] = False
        letter = mixed(codes + np.uint64(1))
        places, contexts = [], []
        run = letter
        for k in range(ORDER):
            if k:
                before = np.roll(run, 1)
                contexts.append((before[inside] >> np.uint64(64 - BITS)).astype(np.int32))
                run = mixed(before ^ (letter >> np.uint64(1)))
            places.append((run[inside] >> np.uint64(64 - BITS)).astype(np.int32))
        return cls(places, contexts, np.repeat(np.arange(len(texts)), lengths - ORDER + 1), folds_of(texts))


class Letters:
    """Counts of n-grams in two folds, so that no text is judged by what was learned from itself."""

    def __init__(self) -> None:
        self.tables = np.zeros((FOLDS, ORDER, 1 << BITS), np.float32)
        self.totals = np.zeros(FOLDS)

    def learn(self, texts: Sequence[str]) -> Letters:
        """Count the n-grams of texts."""
        folds = folds_of(texts)
        for fold in range(FOLDS):
            runs = Runs.of([text for text, own in zip(texts, folds) if own == fold])
            for k, places in enumerate(runs.places):
                self.tables[fold, k] += np.bincount(places, minlength=1 << BITS)
            self.totals[fold] += len(runs.owners)
        return self

    def bits(self, texts: Sequence[str], runs: Runs | None = None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """For each text the bits its letters take, learned from texts of the other fold, and the number of its letters."""
        runs = runs or Runs.of(texts)
        fold = 1 - runs.folds[runs.owners]
        chance = np.full(len(runs.owners), 1 / ALPHABET)
        seen: NDArray[np.floating] = self.totals[fold]
        tables, base = self.tables.reshape(-1), fold * (ORDER << BITS)
        for k in range(ORDER):
            if k:
                seen = tables.take(base + ((k - 1 << BITS) + runs.contexts[k - 1]))
            counts = tables.take(base + ((k << BITS) + runs.places[k]))
            chance = (counts + PRIOR * chance) / (np.maximum(seen, 0) + PRIOR)
        bits = np.bincount(runs.owners, -np.log2(np.minimum(chance, 1)), len(runs.folds))
        letters = np.bincount(runs.owners, minlength=len(runs.folds))
        return np.asarray(bits, np.float64), np.asarray(letters, np.int64)


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread 64-bit numbers evenly (Steele, Lea and Flood, splitmix64, 2014)."""
    values = (values + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)))


def folds_of(texts: Sequence[str]) -> NDArray[np.int64]:
    """Fold of each text, the same wherever the text stands."""
    return np.fromiter((zlib.crc32(text.encode("utf-8", "surrogatepass")) & 1 for text in texts), np.int64, len(texts))
