"""Words of two languages that look alike: names, numbers and loans, which need no dictionary to be matched."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection

GRAM = 3
CANDIDATES = 24


def cognates(source: Collection[str], target: Collection[str], least: float = 0.6) -> dict[str, dict[str, float]]:
    """Return `source word -> target word -> likeness`, likeness at least `least`.

    Likeness is 1 for words equal without their accents and vowel points, else the Dice coefficient of their letter pairs for
    words of four letters or more (as in Simard, Foster and Isabelle 1992, who used common beginnings).
    """
    bare_target = {word: _bare(word) for word in target}
    equal: dict[str, list[str]] = defaultdict(list)
    holding: dict[str, list[str]] = defaultdict(list)
    for word, bare in bare_target.items():
        equal[bare].append(word)
        for gram in _grams(bare, GRAM):
            holding[gram].append(word)
    found: dict[str, dict[str, float]] = {}
    for word in source:
        bare = _bare(word)
        row = dict.fromkeys(equal.get(bare, ()), 1.0)
        if len(bare) > GRAM and not bare.isdigit():
            shared = Counter(w for gram in set(_grams(bare, GRAM)) for w in holding.get(gram, ()))
            for other, _ in shared.most_common(CANDIDATES):
                alike = _dice(bare, bare_target[other])
                if other not in row and alike >= least and len(bare_target[other]) > GRAM:
                    row[other] = alike
        if row:
            found[word] = row
    return found


def _bare(word: str) -> str:
    """The word without combining marks; unchanged in scripts whose vowels are marks, when nothing else would be left."""
    decomposed = unicodedata.normalize("NFKD", word)
    return "".join(c for c in decomposed if not unicodedata.combining(c)) or word


def _grams(word: str, n: int) -> list[str]:
    return [word[i : i + n] for i in range(len(word) - n + 1)]


def _dice(first: str, second: str) -> float:
    a, b = Counter(_grams(first, 2)), Counter(_grams(second, 2))
    return 2 * (a & b).total() / max(1, a.total() + b.total())
