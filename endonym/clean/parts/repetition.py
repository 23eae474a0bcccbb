"""Share of a text that says again what it has said: the 5-grams of letters that come more than once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.clean.batch import Batch, Floats, Scale, graded
from endonym.data.near_dup import distinct, letters, shingle_hashes


class Config(BaseModel):
    """Settings of the repetition part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tail: float = Field(0.002, ge=0, lt=0.5, description="Share of trusted texts that may lie beyond the edge.")


def fit(sample: Batch, cfg: Config) -> Callable[[Batch], Floats]:
    """As Gopher's duplicate n-grams (Rae et al. 2021), on letters, so that words need no spaces, and against the language's own text.

    A longer text repeats more without being worse, so the 5-grams said again are set against the square root of their number.
    """

    def scaled(trusted: Floats) -> Scale:
        fitted = Scale.fitted(trusted, cfg.tail, 1.5)
        # In short texts hardly anything is said twice, and the little that is must not count for much.
        return Scale(max(fitted.usual, 0.5), max(fitted.edge, 4.0))

    return graded(sample, _again, scaled)


def _again(texts: list[str]) -> Floats:
    hashes, number = shingle_hashes(*letters(texts))
    _, different = distinct(hashes, number)
    return np.asarray((number - different) / np.sqrt(number))
