"""The words of texts as they are compared, and what is known of them before the texts are aligned."""

from __future__ import annotations

from endonym.align.cognates import cognates
from endonym.align.evidence import Side
from endonym.align.learn import Pairings
from endonym.data.lexicon import Lexicon, words
from endonym.data.scripts import APOSTROPHES

LEAST_GIVEN = 0.1
"""Probability, beside that of the likeliest translation, from which one of the lexicon is used."""
_ONE_APOSTROPHE = str.maketrans(dict.fromkeys(APOSTROPHES, "'"))


def known_words(source: Side, target: Side, lexicon: Lexicon | None, least: float) -> Pairings:
    """Words that look alike and words that the lexicon knows."""
    alike = Pairings.of(cognates(source.numbers, target.numbers, least), source, target)
    if not lexicon:
        return alike
    told = {word: _relative(lexicon.p(word)) for word in source.numbers if word in lexicon}
    return alike.best_of(Pairings.of(told, source, target), len(target.numbers))


def words_of(text: str) -> list[str]:
    """The words of a text as they are compared, and the sign at its end, which says that a question answers to a question."""
    text = plain(text)
    end = text.rstrip()[-1:]
    return words(text) + ([f" {end}"] if end and not end.isalnum() else [])


def plain(text: str) -> str:
    """Text as it is compared: case folded, and one apostrophe for all, since two files often type it differently."""
    return text.casefold().translate(_ONE_APOSTROPHE)


def _relative(row: dict[str, float]) -> dict[str, float]:
    """Scores of a word's translations relative to the likeliest: each of its senses may be the one meant."""
    most = max(row.values(), default=1.0)
    return {plain(other): p / most for other, p in row.items() if p >= LEAST_GIVEN * most}
