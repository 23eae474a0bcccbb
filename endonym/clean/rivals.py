"""How much better the two sides of a pair suit one another than they suit sides of other pairs.

What a pair scores says little by itself: a short text of common words explains everything a little, a long one of rare words nothing.
So each side is also scored with the other side of some fixed pairs, its rivals (the margin of Artetxe and Schwenk, Margin-based
Parallel Corpus Mining, ACL 2019, with a sample in place of neighbours). Two scores are compared so: `Explained`, by the words that
translate one another, and `Shared`, by pieces of words in a space that both languages share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from endonym.clean.batch import Floats
from endonym.clean.letters import Runs
from endonym.data.lexicon import model1
from endonym.data.ranges import spread

Stems = Sequence[str]
Ints = NDArray[np.int64]
Singles = NDArray[np.float32]

BLOCK = 64
"""Pairs looked at together: what is needed for them fits into the processor's cache."""
SLOTS = 1 << 14
"""Places that pieces of words are hashed to."""
PIECES = (3, 4)
"""Letters of a piece."""
LOOKED_AT = 600
"""Characters of a text that are looked at for its place in the shared space."""
DIMENSIONS = 128
LEARNED_FROM = 2000
"""Pairs that the shared space is learned from."""
RIDGE = 1.0


class Explained:
    """How well the words of one side explain those of the other, by model 1, one direction; in nats against chance."""

    def __init__(self, sources: Sequence[Stems], targets: Sequence[Stems], passes: int, rivals: Sequence[int]):
        counts = Counter(word for text in targets for word in dict.fromkeys(text))
        self._ids = {word: i for i, word in enumerate(counts)}
        chance = (np.array(list(counts.values())) + 0.5) / max(1, len(targets))
        least = np.maximum(0.2 * chance, 1e-4)
        self._floor = np.append(np.log(least / chance), 0).astype(np.float32)
        """Gain of each word where nothing explains it; the last place is no word."""
        self._rows: dict[str, int] = {}
        starts, columns, gains = [0], [], []
        for word, row in model1(sources, targets, passes).items():
            found = [(i, p) for other, p in row.items() if p > least[i := self._ids[other]]]
            if found:
                self._rows[word] = len(starts) - 1
                starts.append(starts[-1] + len(found))
                columns += [i for i, _ in found]
                gains += [np.log(p / chance[i]) for i, p in found]
        self._starts, self._columns = np.array(starts), np.array(columns, dtype=np.int64)
        self._gains = np.array(gains, dtype=np.float32)
        self._rival_words = self._numbered([targets[i] for i in rivals])
        self._rival_gains = self._explained([sources[i] for i in rivals], np.arange(len(self._floor)))

    def signs(self, sources: Sequence[Stems], targets: Sequence[Stems]) -> Floats:
        """`[pairs, 6]`: gain a known word, and a root of the known words, and the latter beside rivals of each side."""
        found = []
        for first in range(0, len(sources), BLOCK):
            part = slice(first, first + BLOCK)
            words, starts, known = self._numbered(targets[part])
            rival_words, rival_starts, rival_known = self._rival_words
            needed = np.unique(np.concatenate([words, rival_words]))
            gains = self._explained(sources[part], needed)
            places = np.searchsorted(needed, words)
            owners = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(words))))
            own = np.bincount(owners, gains[owners, places], len(starts))
            there = np.add.reduceat(gains[:, np.searchsorted(needed, rival_words)], rival_starts, axis=1)
            back = np.add.reduceat(self._rival_gains[:, words], starts, axis=1).T
            root = own / np.sqrt(known + 2)
            found.append(
                np.column_stack(
                    [
                        own / (known + 2),
                        root,
                        beside(root, there / np.sqrt(rival_known + 2)),
                        beside(root, back / np.sqrt(known + 2)[:, None]),
                    ]
                )
            )
        return np.concatenate(found)

    def _numbered(self, texts: Sequence[Stems]) -> tuple[Ints, Ints, Ints]:
        """The words of texts that are known by their numbers, each text closed by the place that is no word; where each begins; how many."""
        none = len(self._ids)
        numbers = [[*(i for word in text if (i := self._ids.get(word)) is not None), none] for text in texts]
        sizes = np.array([len(row) for row in numbers])
        return np.array([i for row in numbers for i in row]), np.cumsum(sizes) - sizes, sizes - 1

    def _explained(self, texts: Sequence[Stems], needed: Ints) -> Singles:
        """`[texts, needed]`: the best that any word of a text gains each word needed; `needed` holds numbers in order, the last no word's."""
        rows = [(i, row) for i, text in enumerate(texts) for word in text if (row := self._rows.get(word)) is not None]
        made = np.tile(self._floor[needed], (len(texts), 1))
        if not rows:
            return made
        owners, numbers = np.array(rows).T
        sizes = self._starts[numbers + 1] - self._starts[numbers]
        entries, owners = spread(self._starts[numbers], sizes), np.repeat(owners, sizes)
        columns = np.searchsorted(needed, self._columns[entries])
        # The last of `needed` is no word, so that every number of a word has a place at or before it.
        inside = np.flatnonzero(needed[columns] == self._columns[entries])
        # What is written last stays: the best of all.
        order = inside[np.argsort(self._gains[entries[inside]], kind="stable")]
        made[owners[order], columns[order]] = self._gains[entries[order]]
        return made


class Shared:
    """A space that two languages share, learned from pairs: pieces of words of one side foretell those of the other.

    Ridge regression in the space of pairs (Saunders, Gammerman and Vovk, Ridge Regression Learning Algorithm in Dual Variables, ICML 1998), in both
    directions, cut to its first dimensions by subspace iteration. A text's place is the sum of its pieces', weighed by rarity.
    """

    def __init__(self, sources: Sequence[str], targets: Sequence[str], rivals: Sequence[int]):
        rng = np.random.default_rng(7)
        chosen = rng.permutation(len(sources))[:LEARNED_FROM]
        sides, self._rarity = [], []
        for texts in (sources, targets):
            dense = np.zeros((len(chosen), SLOTS), np.float32)
            dense[_pieces([texts[i] for i in chosen])] = 1
            rarity = np.log((len(chosen) + 1) / (dense.sum(axis=0) + 1))
            self._rarity.append(rarity)
            dense *= rarity
            dense /= np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1e-6)
            sides.append(dense)
        there, back = _regressed(sides[0], sides[1], rng), _regressed(sides[1], sides[0], rng)
        self._maps = [np.hstack([there[0], back[1]]), np.hstack([there[1], back[0]])]
        self._rivals = [self._places([texts[i] for i in rivals], side) for side, texts in enumerate((sources, targets))]

    def signs(self, sources: Sequence[str], targets: Sequence[str]) -> Floats:
        """`[pairs, 8]`: how much better either side foretells the other than it does rivals', and than rivals foretell it."""
        found = []
        for first in range(0, len(sources), BLOCK):
            part = slice(first, first + BLOCK)
            one, other = self._places(sources[part], 0), self._places(targets[part], 1)
            columns = []
            for half in (slice(0, DIMENSIONS), slice(DIMENSIONS, None)):
                own = (one[:, half] * other[:, half]).sum(axis=1, dtype=np.float64)
                for place, rivals in ((one, self._rivals[1]), (other, self._rivals[0])):
                    columns.append(beside(own, place[:, half] @ rivals[:, half].T))
            found.append(np.hstack(columns))
        return np.concatenate(found)

    def _places(self, texts: Sequence[str], side: int) -> Singles:
        """`[texts, 2 * DIMENSIONS]`."""
        owners, slots = _pieces(texts)
        there = np.zeros(SLOTS, bool)
        there[slots] = True
        needed = np.flatnonzero(there)
        dense = np.zeros((len(texts), len(needed)), np.float32)
        dense[owners, (np.cumsum(there) - 1)[slots]] = 1
        dense *= self._rarity[side][needed]
        norms = np.linalg.norm(dense, axis=1, keepdims=True)
        return np.asarray(dense @ self._maps[side][needed] / np.maximum(norms, 1e-6), np.float32)


def beside(own: Floats, rivals: NDArray[np.floating[Any]]) -> Floats:
    """`[pairs, 2]`: how far scores lie above those of rivals `[pairs, rivals]`, in deviations of these, and above the best of them."""
    deviation = np.maximum(rivals.std(axis=1), 1e-3)
    return np.column_stack([(own - rivals.mean(axis=1)) / deviation, own - rivals.max(axis=1)])


def _pieces(texts: Sequence[str]) -> tuple[Ints, Ints]:
    """All pieces of words of each text: numbers of texts and slots; one that stands twice comes twice."""
    runs = Runs.of([text[:LOOKED_AT] for text in texts])
    slots = [(runs.places[size - 1].astype(np.int64) * 2_654_435_761 + size * 977) % SLOTS for size in PIECES]
    return np.tile(runs.owners, len(PIECES)), np.concatenate(slots)


def _regressed(given: Singles, wanted: Singles, rng: np.random.Generator) -> tuple[Singles, Singles]:
    """Maps `[SLOTS, DIMENSIONS]` of both sides, whose product is the regression of `wanted` on `given`."""
    kernel = given @ given.T
    size = min(DIMENSIONS, len(kernel))
    basis = rng.standard_normal((len(kernel), size)).astype(np.float32)
    for _ in range(3):
        basis, _ = np.linalg.qr(kernel @ basis)
    strength, turn = np.linalg.eigh(basis.T @ kernel @ basis)
    scaled = (basis @ turn / np.sqrt(np.maximum(strength, 0) + RIDGE)).astype(np.float32)
    maps = np.zeros((2, SLOTS, DIMENSIONS), np.float32)
    maps[0, :, :size], maps[1, :, :size] = given.T @ scaled, (wanted - wanted.mean(axis=0)).T @ scaled
    return maps[0], maps[1]
