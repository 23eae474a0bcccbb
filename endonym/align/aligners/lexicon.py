"""Align by length and by words that translate each other, found in the project's dictionary, its pairs and the texts themselves.

Words count as translations when they look alike (names, numbers, loans), when the lexicon says so, and when they keep meeting in
the beads of the pass before: two or three passes of align and learn (as in Varga et al., hunalign, RANLP 2005; Moore, AMTA
2002). A bead is scored by how much of it is said on both sides, by its lengths and by its shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ConfigDict, Field

from endonym.align.cognates import cognates
from endonym.align.evidence import Side
from endonym.align.learn import Pairings
from endonym.align.passes import Texts
from endonym.align.potentials import weights
from endonym.data.lexicon import Lexicon, words
from endonym.data.scripts import APOSTROPHES
from endonym.types import Link

LEAST_GIVEN = 0.1
"""Probability, beside that of the likeliest translation, from which one of the lexicon is used."""
_ONE_APOSTROPHE = str.maketrans(dict.fromkeys(APOSTROPHES, "'"))


class Config(BaseModel):
    """Settings of aligning by words and length."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    passes: int = Field(
        3, ge=1, le=9, description="Times the texts are aligned; each pass learns words from the one before."
    )
    cognate: float = Field(0.6, ge=0, le=1, description="Likeness from which two words count as the same word.")


def align(
    source: Sequence[str],
    target: Sequence[str],
    cfg: Config,
    *,
    lexicon: Lexicon | None = None,
    anchors: Sequence[tuple[int, int]] = (),
) -> Iterator[Link]:
    """Yield the links in order. `lexicon` knows translations; `anchors` are positions `(i, j)` known to correspond."""
    texts = Texts(source, target, weights()["words"], anchors)
    here, there = (Side.of(words_of(sentence) for sentence in side) for side in (source, target))
    given = known_words(here, there, lexicon, cfg.cognate)
    texts.evidence = given.between(here, there)
    texts.look()
    for _ in range(cfg.passes - 1):
        texts.learn(here, there, given)
        texts.look()
    yield from texts.links()


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
