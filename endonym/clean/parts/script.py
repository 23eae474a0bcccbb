"""Share of a text's letters in the scripts of its language."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.clean.batch import LEAST_TEXTS, Batch, Floats
from endonym.clean.characters import scripts
from endonym.data.languages import language
from endonym.data.quality import EDGE


class Config(BaseModel):
    """Settings of the script part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    least: float = Field(
        0.2, gt=0, lt=1, description="Share of letters in the right script at which a text is at the edge."
    )
    names: int = Field(12, ge=0, description="Letters that may be in any script: names and signs.")


def fit(sample: Batch, cfg: Config) -> Callable[[Batch], Floats]:
    """Scripts are those of the table of languages; of a language that has none there, the script most of its texts are in."""
    counts, names = scripts(sample.texts)
    allowed: dict[str, list[str]] = {}
    for code, places in sample.of_language().items():
        found = list(language(code).scripts) if code else []
        if not found and len(places) >= LEAST_TEXTS:
            found = [names[int(counts[places].sum(axis=0).argmax())]]
        allowed[code] = found

    def measure(batch: Batch) -> Floats:
        counts, names = scripts(batch.texts)
        values = np.full(len(batch.texts), np.nan)
        for code, places in batch.of_language().items():
            wanted = [names.index(name) for name in allowed.get(code, ()) if name in names]
            if not allowed.get(code):
                continue
            letters = counts[places, 1:].sum(axis=1)
            wrong = letters - counts[places][:, wanted].sum(axis=1)
            share = 1 - np.maximum(0, wrong - cfg.names) / np.maximum(letters, 1)
            values[places] = np.where(
                share < cfg.least, EDGE * share / cfg.least, EDGE + (1 - EDGE) * (share - cfg.least) / (1 - cfg.least)
            )
        return batch.worst(values)

    return measure
