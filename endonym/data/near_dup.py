"""Find texts that are the same but for a word, a mark or a letter, so that they are dropped or kept on one side of a split.

Character 5-grams work in every script, also where words are not separated by spaces. MinHash (Broder 1997) with banding
(Indyk and Motwani 1998) finds the candidates; each is then checked with its exact Jaccard similarity, so that the threshold
means what it says and two texts never count as alike by chance. Only a true pair can be missed, less than once in a thousand
at the threshold and never when the texts are equal.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

import numpy as np
import regex

from endonym.data.union_find import UnionFind

SHINGLE = 5
NUM_HASHES = 128
SEED = 20
RECALL = 0.999
_NOT_TEXT = regex.compile(r"[^\p{L}\p{M}\p{N}]+")


def normalise(text: str) -> str:
    """Reduce a text to what is compared: NFKC, case folded, letters, marks and digits only; itself when it has none of them."""
    return _NOT_TEXT.sub("", unicodedata.normalize("NFKC", text).casefold()) or text.strip()


def shingles(normalised: str) -> frozenset[str]:
    """Character 5-grams of a normalised text; the text itself when it is shorter."""
    if len(normalised) <= SHINGLE:
        return frozenset((normalised,))
    return frozenset(normalised[i : i + SHINGLE] for i in range(len(normalised) - SHINGLE + 1))


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    """Shared members over all members."""
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)


def clusters(texts: Sequence[str], threshold: float = 0.7) -> list[int]:
    """For each text the position of the first text of its cluster; a text is new where that is its own position.

    Two texts are in one cluster when their 5-grams have a Jaccard similarity of at least `threshold`, or when a chain of such
    pairs links them. Texts that are equal once normalised are always in one cluster.
    """
    first: dict[str, int] = {}
    joined = UnionFind(len(texts))
    for i, text in enumerate(texts):
        joined.join(i, first.setdefault(normalise(text), i))
    members = list(first.values())
    sets = [shingles(text) for text in first]
    seen: set[tuple[int, int]] = set()
    for a, b in _candidates(sets, threshold):
        if (a, b) in seen or joined.find(members[a]) == joined.find(members[b]):
            continue
        seen.add((a, b))
        if jaccard(sets[a], sets[b]) >= threshold:
            joined.join(members[a], members[b])
    return joined.groups()


def _candidates(sets: Sequence[frozenset[str]], threshold: float) -> Iterator[tuple[int, int]]:
    """Pairs of positions that share a whole band of MinHash values, the lower position first."""
    from rensa import RMinHash

    if len(sets) < 2:
        return
    num_rows = _rows(threshold)
    # Sorted, because the order in which a set yields strings changes from one run of Python to the next.
    digests = RMinHash.digests_from_token_sets([sorted(s) for s in sets], NUM_HASHES, SEED)
    signatures = np.array(digests, dtype=np.uint32)
    for start in range(0, NUM_HASHES - num_rows + 1, num_rows):
        band = np.ascontiguousarray(signatures[:, start : start + num_rows])
        keys = band.view(np.dtype((np.void, band.itemsize * num_rows))).ravel()
        for bucket in _buckets(keys):
            yield from combinations(bucket, 2)


def _buckets(keys: np.ndarray) -> Iterable[list[int]]:
    """Positions that have equal keys, where there are at least two."""
    found: dict[bytes, list[int]] = {}
    for i, key in enumerate(keys.tolist()):
        found.setdefault(key, []).append(i)
    return (bucket for bucket in found.values() if len(bucket) > 1)


def _rows(threshold: float) -> int:
    """Hashes a band: as many as leave a pair at the threshold a chance of RECALL to share a band."""
    rows = 1
    while rows < 16 and 1 - (1 - threshold ** (rows + 1)) ** (NUM_HASHES // (rows + 1)) >= RECALL:
        rows += 1
    return rows
