"""Find texts that are the same but for a word, a mark or a letter, so that they are dropped or kept on one side of a split.

Character 5-grams work in every script, also where words are not separated by spaces. MinHash (Broder 1997) with banding
(Indyk and Motwani 1998) finds the candidates; each is then checked with the Jaccard similarity of its 5-grams, so that the threshold
means what it says and two texts never count as alike by chance. Only a true pair can be missed, less than once in a thousand
at the threshold, never when the texts are equal, and more often where more than WINDOW texts share a band.

Texts are normalised, cut into 5-grams and sketched a few thousand at once, as long arrays of 32-bit numbers. Kept are the letters, and
5-grams are made again of what is checked. A million texts of 60 letters take about 200 MB.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import numpy as np
import regex
from numpy.typing import NDArray

from endonym.data.ethiopic import DIGITS
from endonym.data.folding import fold
from endonym.data.ranges import spread

SHINGLE = 5
NUM_HASHES = 128
SEED = 20
RECALL = 0.999
WINDOW = 40
"""Texts of one bucket are all compared up to this many; in a fuller bucket each with its neighbours and with the first."""
_LETTERS_AT_ONCE = 1 << 18
_CHECKED_AT_ONCE = 1 << 21
_NOT_TEXT = regex.compile(r"[^\p{L}\p{M}\p{N}]+")
_GONE, _IN_CONTEXT, _NOT_MET = 0, 0xFFFFFFFF, 0xFFFFFFFE
"""What stands in the table of letters for one that is taken out, one that depends on its neighbours, and one not looked at yet."""

Numbers = NDArray[np.int64]
Hashes = NDArray[np.uint32]


def normalise(text: str) -> str:
    """Reduce a text to what is compared: NFKC, case folded, letters, marks and digits only; itself when it has none of them.

    Ethiopic letters of one sound in Amharic count as one: two copies of a text often differ in nothing else.
    """
    folded = _folded(text)
    return _NOT_TEXT.sub("", folded if folded.isascii() else fold(folded, "amh")) or text.strip()


def _folded(text: str) -> str:
    return text.casefold() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def letters(texts: Sequence[str]) -> tuple[Hashes, Numbers]:
    """Code points of what `normalise` makes of each text, one text after the other, and how many each has; a tenth of its time.

    After NFKC, case folding and NFC, all but Ethiopic numerals is decided letter by letter: by a table, filled as letters are met.
    """
    plain = "".join(texts)
    if plain.isascii():
        lengths, plain = _lengths(texts), plain.casefold()
    else:
        folded = [unicodedata.normalize("NFC", _folded(text)) for text in texts]
        lengths, plain = _lengths(folded), "".join(folded)
    codes = _codes(plain)
    table = _table()
    found = table.take(codes)
    if (found == _NOT_MET).any():
        for code in np.unique(codes[found == _NOT_MET]).tolist():
            table[code] = _IN_CONTEXT if chr(code) in DIGITS else ord(_NOT_TEXT.sub("", fold(chr(code), "amh")) or "\0")
        found = table.take(codes)
    ends = np.cumsum(lengths)
    sizes = _in_each(ends, stays := np.flatnonzero(found != _GONE))
    whole = (sizes == 0) | (_in_each(ends, np.flatnonzero(found == _IN_CONTEXT)) > 0)
    if not whole.any():
        return found.take(stays), sizes
    own = [normalise(texts[i]) for i in np.flatnonzero(whole).tolist()]
    found = found.take(stays[~np.repeat(whole, sizes)])
    sizes[whole] = 0
    found = np.insert(found, np.repeat(np.cumsum(sizes)[whole], _lengths(own)), _codes("".join(own)))
    sizes[whole] = _lengths(own)
    return found, sizes


@cache
def _table() -> Hashes:
    return np.full(0x110000, _NOT_MET, np.uint32)


def _codes(text: str) -> Hashes:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _lengths(texts: Sequence[str]) -> Numbers:
    return np.fromiter(map(len, texts), np.int64, len(texts))


def _in_each(ends: Numbers, places: Numbers) -> Numbers:
    """How many of the ascending `places` lie in each stretch, where one ends and the next begins."""
    return np.diff(np.searchsorted(places, ends), prepend=0)


def shingles(normalised: str) -> frozenset[str]:
    """Character 5-grams of a normalised text; the text itself when it is shorter."""
    if len(normalised) <= SHINGLE:
        return frozenset((normalised,))
    return frozenset(normalised[i : i + SHINGLE] for i in range(len(normalised) - SHINGLE + 1))


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    """Shared members over all members."""
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)


def shingle_hashes(codes: Hashes, lengths: Numbers) -> tuple[Hashes, Numbers]:
    """The 5-grams of texts as 32-bit hashes, one text after the other as `letters` gives them, and how many each has.

    A text shorter than a 5-gram is one 5-gram, filled up with nothing.
    """
    ends = np.cumsum(lengths)
    short = np.maximum(SHINGLE - lengths, 0)
    if short.any():
        codes = np.insert(codes, np.repeat(ends, short), 0x110000)
        lengths = lengths + short
        ends = np.cumsum(lengths)
    number = max(len(codes) - SHINGLE + 1, 0)
    hashes = np.zeros(number, np.uint32)
    for k in range(SHINGLE):
        hashes ^= codes[k : k + number]
        _mix(hashes)
    inside = np.ones(len(codes), bool)
    for k in range(1, SHINGLE):
        inside[ends - k] = False
    return hashes.take(np.flatnonzero(inside)), lengths - SHINGLE + 1


def distinct(hashes: Hashes, counts: Numbers) -> tuple[Hashes, Numbers]:
    """The different hashes of each text, sorted, and how many each has."""
    owners = np.repeat(np.arange(len(counts), dtype=np.uint64) << np.uint64(32), counts)
    keys = np.sort(owners | hashes)
    places = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else np.zeros(0, np.int64)
    return keys.take(places).astype(np.uint32), _in_each(np.cumsum(counts), places)


def clusters(texts: Iterable[str], threshold: float = 0.7) -> list[int]:
    """For each text the position of the first text of its cluster; a text is new where that is its own position.

    Two texts are in one cluster when their 5-grams have a Jaccard similarity of at least `threshold`, or when a chain of such
    pairs links them. Texts that are equal once normalised are always in one cluster.
    """
    found = Clusters(threshold)
    for text in texts:
        found.add(text)
    return found.groups().tolist()


class Clusters:
    """Texts as they come, kept as letters and sketches, and at the end the clusters they are in."""

    def __init__(self, threshold: float = 0.7):
        self.threshold = threshold
        # For each hash of each band an odd number: what is multiplied by it is permuted among the 32-bit numbers.
        self._factors = np.random.default_rng(SEED).integers(0, 1 << 32, _bands(threshold), np.uint32) | np.uint32(1)
        self._waiting: list[str] = []
        self._letters_waiting = 0
        self._batches: list[str] = []
        """Letters of the texts of each batch."""
        self._ends: list[NDArray[np.int32]] = []
        """Where each text ends among them."""
        self._names: list[Numbers] = []
        """A number for each text: 64 bits, so that of ten million texts two are taken for equal once in 400,000 runs."""
        self._keys: list[Hashes] = []
        """For each band a number for each text: texts that share one are looked at."""

    def add(self, text: str) -> None:
        """Take in the next text."""
        self._waiting.append(text)
        self._letters_waiting += len(text) + 1
        if self._letters_waiting >= _LETTERS_AT_ONCE:
            self._reduce()

    def groups(self) -> Numbers:
        """For each text the position of the first text of its cluster."""
        if self._waiting:
            self._reduce()
        if not self._names:
            return np.zeros(0, np.int64)
        _, origins, which = np.unique(np.concatenate(self._names), return_index=True, return_inverse=True)
        found, fresh = origins[which], np.sort(origins)
        unlike = np.zeros(0, np.int64)
        for band in range(len(self._factors)):
            for candidates in _candidates(np.concatenate([keys[band] for keys in self._keys])[fresh]):
                pairs = np.hstack([part[:, found[part[0]] != found[part[1]]] for part in map(fresh.take, candidates)])
                numbers = pairs[0] << 32 | pairs[1]
                new = np.searchsorted(unlike, numbers, "right") == np.searchsorted(unlike, numbers)
                pairs, numbers = pairs[:, new], numbers[new]
                alike = self.similarity(*pairs) >= self.threshold
                found = _linked(found, *pairs[:, alike])
                unlike = np.sort(np.concatenate([unlike, numbers[~alike]]))
        return found

    def similarity(self, first: Numbers, second: Numbers) -> NDArray[np.float64]:
        """Jaccard similarity of the texts at positions `first` with those at `second`, once `groups` was called."""
        found = np.zeros(len(first))
        lengths = np.concatenate([np.diff(ends, prepend=0) for ends in self._ends])
        work = np.cumsum(lengths[first] + lengths[second]) // _CHECKED_AT_ONCE
        for part in np.split(np.arange(len(first)), np.flatnonzero(np.diff(work)) + 1):
            found[part] = self._similarity(first[part], second[part])
        return found

    def _similarity(self, first: Numbers, second: Numbers) -> NDArray[np.float64]:
        which, places = np.unique(np.concatenate([first, second]), return_inverse=True)
        sets, sizes = distinct(*shingle_hashes(*self._letters(which)))
        first, second = np.split(places, 2)
        starts = np.cumsum(sizes) - sizes
        keys = np.sort(np.concatenate([_members(sets, starts, sizes, side) for side in (first, second)]))
        twice = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(32)
        shared = np.bincount(twice.astype(np.int64), minlength=len(first))
        return shared / (sizes[first] + sizes[second] - shared)

    def _letters(self, which: Numbers) -> tuple[Hashes, Numbers]:
        """Letters of the texts at ascending positions, as `letters` gives them."""
        parts, before = [], 0
        for plain, ends in zip(self._batches, self._ends):
            first, last = np.searchsorted(which, (before, before + len(ends)))
            if first < last:
                own = which[first:last] - before
                parts += _cut(plain, np.r_[0, ends][own], ends[own])
            before += len(ends)
        return _codes("".join(parts)), _lengths(parts)

    def _reduce(self) -> None:
        codes, lengths = letters(self._waiting)
        plain = codes.tobytes().decode("utf-32-le", "surrogatepass")
        ends = np.cumsum(lengths)
        self._batches.append(plain)
        self._ends.append(ends.astype(np.int32))
        self._names.append(np.fromiter(map(hash, _cut(plain, ends - lengths, ends)), np.int64, len(ends)))
        hashes, counts = shingle_hashes(codes, lengths)
        starts = np.cumsum(counts) - counts
        keys = np.zeros((len(self._factors), len(counts)), np.uint32)
        permuted = np.empty_like(hashes)
        for row, band in zip(keys, self._factors):
            for factor in band:
                np.multiply(hashes, factor, out=permuted)
                row ^= np.minimum.reduceat(permuted, starts)
                _mix(row)
        self._keys.append(keys)
        self._waiting, self._letters_waiting = [], 0


def _cut(plain: str, starts: NDArray[np.integer], ends: NDArray[np.integer]) -> list[str]:
    return [plain[start:end] for start, end in zip(starts.tolist(), ends.tolist())]


def _mix(values: Hashes) -> None:
    """Spread 32-bit numbers, in place."""
    values *= np.uint32(0x85EBCA6B)
    values ^= values >> np.uint32(15)


def _members(sets: Hashes, starts: Numbers, sizes: Numbers, which: Numbers) -> NDArray[np.uint64]:
    """Members of the sets `which`, each with the place in `which` in its upper half."""
    counts = sizes[which]
    owners = np.repeat(np.arange(len(which), dtype=np.uint64) << np.uint64(32), counts)
    return np.asarray(owners | sets[spread(starts[which], counts)])


def _candidates(keys: Hashes) -> Iterator[Iterable[Numbers]]:
    """Pairs of positions with equal keys, the lower position first, in arrays of two rows.

    First each with the first of its bucket, then, to be taken up when these are linked, each with its neighbours.
    """
    ordered = np.sort((keys.astype(np.uint64) << np.uint64(32)) | np.arange(len(keys), dtype=np.uint64))
    same = (ordered[1:] ^ ordered[:-1]) < 1 << 32
    # Only what is in a bucket with another is looked at again: in most bands that is little.
    places = np.flatnonzero(np.r_[same, False] | np.r_[False, same])
    if not len(places):
        return
    order = (ordered[places] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    place = np.arange(len(order))
    far = place - np.maximum.accumulate(np.where(np.r_[False, same][places], 0, place))
    later = np.flatnonzero(far)
    yield [np.stack([order[later - far[later]], order[later]])]
    if far.max() > 1:
        near = (np.flatnonzero(far > distance) for distance in range(1, min(WINDOW, far.max())))
        yield (np.stack([order[later - distance], order[later]]) for distance, later in enumerate(near, 1))


def _linked(groups: Numbers, first: Numbers, second: Numbers) -> Numbers:
    """The groups, each named by its smallest member, once `first` and `second` are in one, pair by pair."""
    while (apart := groups[first] != groups[second]).any():
        first, second = first[apart], second[apart]
        names = np.sort([groups[first], groups[second]], axis=0)
        np.minimum.at(groups, names[1], names[0])
        while not np.array_equal(nearer := groups[groups], groups):
            groups = nearer
    return groups


def _bands(threshold: float) -> tuple[int, int]:
    """Bands, and hashes a band: as many as leave a pair at the threshold a chance of RECALL to share a band."""
    rows = 1
    while rows < 16 and 1 - (1 - threshold ** (rows + 1)) ** (NUM_HASHES // (rows + 1)) >= RECALL:
        rows += 1
    return NUM_HASHES // rows, rows
