"""Find texts that are the same but for a word, a mark or a letter, so that they are dropped or kept on one side of a split.

Character 5-grams work in every script, also where words are not separated by spaces. MinHash (Broder 1997) with banding
(Indyk and Motwani 1998) finds the candidates; each is then checked with the Jaccard similarity of its 5-grams, so that the threshold
means what it says and two texts never count as alike by chance. Only a true pair can be missed, less than once in a thousand
at the threshold and never when the texts are equal.

5-grams are 32-bit hashes, all of a few thousand texts made at once; the texts themselves are not kept. A million texts of 60
letters take about 400 MB.
"""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Iterable, Iterator

import numpy as np
import regex
from numpy.typing import NDArray

from endonym.data.folding import fold
from endonym.data.union_find import UnionFind

SHINGLE = 5
NUM_HASHES = 128
SEED = 20
RECALL = 0.999
WINDOW = 40
"""Texts of one bucket are all compared up to this many; in a fuller bucket each with its neighbours and with the first."""
_BATCH = 4096
_CHECKED_AT_ONCE = 2_000_000
_NOT_TEXT = regex.compile(r"[^\p{L}\p{M}\p{N}]+")

Numbers = NDArray[np.int64]


def normalise(text: str) -> str:
    """Reduce a text to what is compared: NFKC, case folded, letters, marks and digits only; itself when it has none of them.

    Ethiopic letters of one sound in Amharic count as one: two copies of a text often differ in nothing else.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _NOT_TEXT.sub("", folded if folded.isascii() else fold(folded, "amh")) or text.strip()


def shingles(normalised: str) -> frozenset[str]:
    """Character 5-grams of a normalised text; the text itself when it is shorter."""
    if len(normalised) <= SHINGLE:
        return frozenset((normalised,))
    return frozenset(normalised[i : i + SHINGLE] for i in range(len(normalised) - SHINGLE + 1))


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    """Shared members over all members."""
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)


def clusters(texts: Iterable[str], threshold: float = 0.7) -> list[int]:
    """For each text the position of the first text of its cluster; a text is new where that is its own position.

    Two texts are in one cluster when their 5-grams have a Jaccard similarity of at least `threshold`, or when a chain of such
    pairs links them. Texts that are equal once normalised are always in one cluster.
    """
    found = Clusters(threshold)
    for text in texts:
        found.add(text)
    return found.groups()


class Clusters:
    """Texts as they come, reduced to hashes, and at the end the clusters they are in."""

    def __init__(self, threshold: float = 0.7):
        self.threshold = threshold
        self._rows = _rows(threshold)
        self._first: dict[int, int] = {}
        self._owners = array("q")
        """Number of the distinct text that each text is."""
        self._waiting: list[str] = []
        self._sets: list[NDArray[np.uint32]] = []
        self._sizes: list[Numbers] = []
        self._bands: list[NDArray[np.uint32]] = []

    def add(self, text: str) -> None:
        """Take in the next text."""
        plain = normalise(text)
        # 64 bits: among ten million texts, two different ones are taken for equal once in 400,000 runs.
        fresh = len(self._first)
        number = self._first.setdefault(hash(plain), fresh)
        self._owners.append(number)
        if number == fresh:
            self._waiting.append(plain)
            if len(self._waiting) >= _BATCH:
                self._reduce()

    def groups(self) -> list[int]:
        """For each text the position of the first text of its cluster."""
        if self._waiting:
            self._reduce()
        joined = UnionFind(len(self._first))
        if self._sets:
            self._sets, self._sizes = [np.concatenate(self._sets)], [np.concatenate(self._sizes)]
            self._join(joined, self._sets[0], self._sizes[0])
        self._bands = []
        names = joined.groups()
        position: dict[int, int] = {}
        return [position.setdefault(names[owner], i) for i, owner in enumerate(self._owners)]

    def similarity(self, first: Numbers, second: Numbers) -> NDArray[np.float64]:
        """Jaccard similarity of the texts at positions `first` with those at `second`, once `groups` was called."""
        owners = np.asarray(self._owners)
        sets, sizes = self._sets[0], self._sizes[0]
        return similarity(sets, np.cumsum(sizes) - sizes, sizes, owners[first], owners[second])

    def _reduce(self) -> None:
        from rensa import RMinHash

        hashes, sizes = shingle_hashes(self._waiting)
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.uint64)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes.astype(np.uint64), offsets, NUM_HASHES, SEED)
        digests = np.array(matrix.to_rows(), dtype=np.uint32)
        count = NUM_HASHES // self._rows
        bands = digests[:, : count * self._rows].reshape(len(digests), count, self._rows).astype(np.uint64)
        keys = np.zeros(bands.shape[:2], np.uint64)
        for row in range(self._rows):
            keys = mixed(keys ^ bands[:, :, row])
        # Half of the bits: what two buckets share by chance is checked and thrown out like any other candidate.
        self._bands.append((keys >> np.uint64(32)).astype(np.uint32))
        self._sets.append(hashes)
        self._sizes.append(sizes)
        self._waiting = []

    def _join(self, joined: UnionFind, sets: NDArray[np.uint32], sizes: Numbers) -> None:
        starts = np.cumsum(sizes) - sizes
        for band in range(self._bands[0].shape[1]):
            keys = np.concatenate([part[:, band] for part in self._bands])
            for first, second in _candidates(keys):
                # Equal texts are one already, so a much longer text cannot be alike.
                smaller, larger = np.minimum(sizes[first], sizes[second]), np.maximum(sizes[first], sizes[second])
                able = smaller >= self.threshold * larger
                pairs = zip(first[able].tolist(), second[able].tolist())
                open_pairs = [(a, b) for a, b in pairs if joined.find(a) != joined.find(b)]
                if not open_pairs:
                    continue
                a, b = np.array(open_pairs, dtype=np.int64).T
                for i in np.flatnonzero(similarity(sets, starts, sizes, a, b) >= self.threshold).tolist():
                    joined.join(*open_pairs[i])


def shingle_hashes(texts: list[str]) -> tuple[NDArray[np.uint32], Numbers]:
    """The different 5-grams of each normalised text as sorted 32-bit hashes, one text after the other, and how many each has."""
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    ends = np.cumsum(lengths)
    # A text shorter than a 5-gram is one 5-gram, filled up with nothing.
    counts = np.maximum(lengths - SHINGLE + 1, 1)
    owners = np.repeat(np.arange(len(texts), dtype=np.uint64), counts)
    first = np.cumsum(counts) - counts
    places = np.arange(counts.sum()) - np.repeat(first, counts) + np.repeat(ends - lengths, counts)
    limit = np.repeat(ends, counts)
    padded = np.concatenate([codes, np.zeros(SHINGLE, np.uint64)])
    hashes = np.zeros(len(places), np.uint64)
    for k in range(SHINGLE):
        letters = np.where(places + k < limit, padded[np.minimum(places + k, len(codes))], 0)
        hashes = mixed(hashes ^ (letters.astype(np.uint64) + np.uint64(1)))
    keys = np.sort((owners << np.uint64(32)) | (hashes >> np.uint64(32)))
    keys = keys[np.r_[True, keys[1:] != keys[:-1]]] if len(keys) else keys
    sizes = np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=len(texts))
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32), sizes


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread 64-bit numbers evenly (Steele, Lea and Flood, splitmix64, 2014)."""
    values = (values + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)))


def similarity(
    sets: NDArray[np.uint32], starts: Numbers, sizes: Numbers, first: Numbers, second: Numbers
) -> NDArray[np.float64]:
    """Jaccard similarity of pairs of sets; set number i is `sets[starts[i] : starts[i] + sizes[i]]`."""
    found = np.zeros(len(first))
    work = np.cumsum(sizes[first] + sizes[second])
    cuts = np.searchsorted(work, np.arange(_CHECKED_AT_ONCE, work[-1] if len(work) else 0, _CHECKED_AT_ONCE))
    for part in np.split(np.arange(len(first)), np.unique(cuts)):
        if not len(part):
            continue
        keys = np.sort(np.concatenate([_members(sets, starts, sizes, side[part]) for side in (first, second)]))
        twice = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(32)
        shared = np.bincount(twice.astype(np.int64), minlength=len(part))
        found[part] = shared / (sizes[first[part]] + sizes[second[part]] - shared)
    return found


def _members(sets: NDArray[np.uint32], starts: Numbers, sizes: Numbers, which: Numbers) -> NDArray[np.uint64]:
    """Members of the sets `which`, each with the place in `which` in its upper half."""
    counts = sizes[which]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    owners = np.repeat(np.arange(len(which), dtype=np.uint64), counts)
    return np.asarray((owners << np.uint64(32)) | sets[np.repeat(starts[which], counts) + within])


def _candidates(keys: NDArray[np.uint32]) -> Iterator[tuple[Numbers, Numbers]]:
    """Pairs of positions with equal keys, the lower position first."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    same = ordered[1:] == ordered[:-1]
    # Only what is in a bucket with another is looked at again: in most bands that is little.
    inside = np.r_[same, False] | np.r_[False, same]
    order, ordered = order[inside], ordered[inside]
    if not len(order):
        return
    fresh = np.r_[True, ordered[1:] != ordered[:-1]]
    leaders = np.maximum.accumulate(np.where(fresh, np.arange(len(order)), 0))
    far = np.arange(len(order)) - leaders
    # Those linked to the first of their bucket need no comparison with one another.
    yield order[leaders[far > 0]], order[far > 0]
    for distance in range(1, WINDOW):
        near = np.flatnonzero(far > distance)
        if not len(near):
            return
        yield order[near - distance], order[near]


def _rows(threshold: float) -> int:
    """Hashes a band: as many as leave a pair at the threshold a chance of RECALL to share a band."""
    rows = 1
    while rows < 16 and 1 - (1 - threshold ** (rows + 1)) ** (NUM_HASHES // (rows + 1)) >= RECALL:
        rows += 1
    return rows
