"""Align by length and by words that translate each other, found in the project's dictionary, its pairs and the texts themselves.

Words count as translations when they look alike (names, numbers, loans), when the lexicon says so, and when they keep meeting in
the beads of the pass before: two or three passes of align and learn (as in Varga et al., hunalign, RANLP 2005; Moore, AMTA
2002). A bead is scored by how much of it is said on both sides, by its lengths and by its shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from endonym.types import Link

if TYPE_CHECKING:
    from endonym.data.lexicon import Lexicon


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
    from endonym.align.passes import Texts, in_passes
    from endonym.align.potentials import weights

    texts = Texts(source, target, weights()["words"], anchors)
    yield from in_passes(texts, source, target, lexicon, cfg.passes, cfg.cognate)
