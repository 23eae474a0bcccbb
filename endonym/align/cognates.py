"""Words of two languages that look alike: names, numbers and loans, which need no dictionary to be matched."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection

GRAM = 3
CANDIDATES = 24
MOST_HOLDERS = 1000
"""Words looked at for one word, those that share its rarest trigrams first."""


def cognates(source: Collection[str], target: Collection[str], least: float = 0.6) -> dict[str, dict[str, float]]:
    """Return `source word -> target word -> likeness`, likeness at least `least`.

    Likeness is 1 for words equal without their accents and vowel points, else the Dice coefficient of their letter pairs for
    words of four letters or more (as in Simard, Foster and Isabelle 1992, who used common beginnings).
    """
    bare_target = {word: _bare(word) for word in target}
    pairs_of = {word: _pairs(bare) for word, bare in bare_target.items()}
    equal: dict[str, list[str]] = defaultdict(list)
    holding: dict[str, list[str]] = defaultdict(list)
    for word, bare in bare_target.items():
        equal[bare].append(word)
        if len(bare) > GRAM:
            for gram in _grams(bare, GRAM):
                holding[gram].append(word)
    found: dict[str, dict[str, float]] = {}
    for word in source:
        bare = _bare(word)
        row = dict.fromkeys(equal.get(bare, ()), 1.0)
        if len(bare) > GRAM and not bare.isdigit():
            mine, shared, looked_at = _pairs(bare), Counter[str](), 0
            # The rarest trigrams first: those that very many words have tell little and cost most.
            for gram in sorted(_grams(bare, GRAM), key=lambda g: len(holding.get(g, ()))):
                if looked_at > MOST_HOLDERS:
                    break
                shared.update(holding.get(gram, ()))
                looked_at += len(holding.get(gram, ()))
            for other, _ in shared.most_common(CANDIDATES):
                theirs = pairs_of[other]
                alike = 2 * len(mine & theirs) / (len(mine) + len(theirs))
                if other not in row and alike >= least:
                    row[other] = alike
        if row:
            found[word] = row
    return found


def _bare(word: str) -> str:
    """The word without combining marks; unchanged in scripts whose vowels are marks, when nothing else would be left."""
    decomposed = unicodedata.normalize("NFKD", word)
    return "".join(c for c in decomposed if not unicodedata.combining(c)) or word


def _grams(word: str, n: int) -> set[str]:
    return {word[i : i + n] for i in range(len(word) - n + 1)}


def _pairs(word: str) -> frozenset[tuple[str, int]]:
    """Pairs of letters, one that comes back told from the first by its number."""
    seen: Counter[str] = Counter()
    pairs = []
    for i in range(len(word) - 1):
        pair = word[i : i + 2]
        pairs.append((pair, seen[pair]))
        seen[pair] += 1
    return frozenset(pairs)
