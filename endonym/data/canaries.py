"""Planted canaries: made-up lines that tell how much of a single line a model keeps, and the exposure that measures it.

A canary is a line of words drawn at random from the training texts, in the language's own script, that stands in training and nowhere
else. Its exposure is how far up it comes in a ranking, by what it costs the model, among lines drawn in the same way that were
never planted (Carlini, Liu, Erlingsson, Kos and Song, The Secret Sharer, USENIX Security 2019, section 4.2, with the rank by sampling).
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence

from endonym.data.lexicon import words

TIMES = (1, 4, 16)
"""How often a canary stands in each pass over the data; canaries take turns."""
WORDS = 8
"""Words of a canary."""
MOST_WORDS = 512
"""Words that canaries are drawn from: the commonest."""


def vocabulary(texts: Iterable[str]) -> list[str]:
    """The commonest words of texts, the commonest first; equally common ones in the order of their letters."""
    counts: Counter[str] = Counter(word for text in texts for word in words(text))
    return sorted(counts, key=lambda word: (-counts[word], word))[:MOST_WORDS]


def draw(known: Sequence[str], number: int, seed: int) -> list[str]:
    """`number` different lines of `WORDS` words; the first ones stay the same when more are drawn. None where there are few words."""
    if len(set(known)) < WORDS:
        return []
    dice = random.Random(f"canary:{seed}")
    lines: dict[str, None] = {}
    while len(lines) < number:
        lines[" ".join(dice.choice(known) for _ in range(WORDS))] = None
    return list(lines)


def exposure(cost: float, others: Sequence[float]) -> float:
    """Bits by which a line of `cost` stands out among `others`: log2 of their number with it, less log2 of its rank; ties count against it."""
    return math.log2(len(others) + 1) - math.log2(1 + sum(other <= cost for other in others))


def by_chance(num_others: int) -> float:
    """Mean exposure of a line the model has never seen: every rank is equally likely."""
    number = num_others + 1
    return math.log2(number) - math.lgamma(number + 1) / math.log(2) / number


def p_value(exposures: Sequence[float], num_others: int, seed: int, draws: int = 10_000) -> float:
    """How often lines never seen would have exposures that large on average, by as many random ranks; at least one in `draws`."""
    import numpy as np

    if not exposures:
        return 1.0
    ranks = np.random.default_rng(seed).integers(1, num_others + 2, size=(draws, len(exposures)))
    means = (math.log2(num_others + 1) - np.log2(ranks)).mean(axis=1)
    return float((np.count_nonzero(means >= sum(exposures) / len(exposures) - 1e-9) + 1) / (draws + 1))
