"""Edit distances between texts, and the character and word error rates made of them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass


def distance(reference: Sequence[Hashable], found: Sequence[Hashable]) -> int:
    """Fewest insertions, deletions and substitutions that turn one into the other.

    All cells of a column at once, as bits of one number: Myers, A fast bit-vector algorithm for approximate string matching
    (JACM 1999), in the form of Hyyrö, Explaining and extending the bit-parallel algorithm of Myers (2003).
    """
    if not reference or not found:
        return len(reference) + len(found)
    places: dict[Hashable, int] = {}
    for i, item in enumerate(reference):
        places[item] = places.get(item, 0) | 1 << i
    every, last = (1 << len(reference)) - 1, 1 << (len(reference) - 1)
    up, down, score = every, 0, len(reference)
    for item in found:
        equal = places.get(item, 0)
        across = (((equal & up) + up) ^ up) | equal
        more, less = down | (~(across | up) & every), up & across
        score += bool(more & last) - bool(less & last)
        vertical = equal | down
        more, less = more << 1 | 1, less << 1
        up, down = (less | ~(vertical | more)) & every, more & vertical & every
    return score


@dataclass(frozen=True)
class ErrorRates:
    """Errors of a recognised text by the length of what stands there; of several texts, add them."""

    char_errors: int = 0
    chars: int = 0
    word_errors: int = 0
    words: int = 0

    def __add__(self, other: ErrorRates) -> ErrorRates:
        return ErrorRates(
            self.char_errors + other.char_errors,
            self.chars + other.chars,
            self.word_errors + other.word_errors,
            self.words + other.words,
        )

    @property
    def cer(self) -> float:
        """Character error rate."""
        return self.char_errors / max(1, self.chars)

    @property
    def wer(self) -> float:
        """Word error rate."""
        return self.word_errors / max(1, self.words)

    def __str__(self) -> str:
        return f"character error rate {self.cer:.1%}, word error rate {self.wer:.1%} ({self.chars:,} characters)"


def error_rates(reference: str, found: str) -> ErrorRates:
    """Errors of `found`; runs of white space count as one space."""
    reference, found = " ".join(reference.split()), " ".join(found.split())
    words = reference.split()
    return ErrorRates(distance(reference, found), len(reference), distance(words, found.split()), len(words))
