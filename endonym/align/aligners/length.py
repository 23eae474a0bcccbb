"""Align by length: long sentences translate into long sentences, questions into questions. Fast, and needs no knowledge of words.

After Gale and Church, A Program for Aligning Sentences in Bilingual Corpora, Computational Linguistics 19 (1993), with four changes:
the ratio of lengths is taken from the texts themselves, a sentence may correspond to as many as four, the signs that sentences
end in and the kinds of letter they begin with count as well, and what each of it weighs is fitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from endonym.types import Link

if TYPE_CHECKING:
    from endonym.data.lexicon import Lexicon


class Config(BaseModel):
    """Aligning by length has no settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def align(
    source: Sequence[str],
    target: Sequence[str],
    cfg: Config,
    *,
    lexicon: Lexicon | None = None,
    anchors: Sequence[tuple[int, int]] = (),
) -> Iterator[Link]:
    """Yield the links in order. `anchors` are positions `(i, j)` known to correspond; a `lexicon` is of no use here."""
    from endonym.align.passes import Texts
    from endonym.align.potentials import weights

    texts = Texts(source, target, weights()["length"], anchors)
    texts.look()
    yield from texts.links()
