"""Share of a text that is digits and signs rather than letters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.clean.batch import Batch, Floats, Scale, graded
from endonym.clean.characters import DIGIT, LETTER, OTHER, kinds

SHORT = 10
"""Letters added to every text's number: a short sentence with a date is no table."""


class Config(BaseModel):
    """Settings of the symbols part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tail: float = Field(0.002, ge=0, lt=0.5, description="Share of trusted texts that may lie beyond the edge.")


def fit(sample: Batch, cfg: Config) -> Callable[[Batch], Floats]:
    """Usual is what each language's own trusted text has: Gopher's limits (Rae et al. 2021) are those of English web pages."""
    return graded(sample, _shares, lambda trusted: Scale.fitted(trusted, cfg.tail, 1.25))


def _shares(texts: list[str]) -> Floats:
    counts = kinds(texts)
    signs = counts[:, DIGIT] + counts[:, OTHER]
    return np.asarray(signs / (signs + counts[:, LETTER] + SHORT))
