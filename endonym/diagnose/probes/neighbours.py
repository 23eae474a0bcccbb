"""Neighbours: the training text nearest to each text the model writes, by shared character 5-grams, against held-out texts.

Nearness is the share of a text's 5-grams (normalised as near-duplicates are, `data/near_dup.py`) that stand in one training text: 1
where it is a copy or a part of one. Time is linear in the training texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.data.near_dup import normalise, shingles
from endonym.data.statistics import as_table, interval, ratio
from endonym.diagnose.finding import Finding, measured
from endonym.diagnose.subject import TRAIN

if TYPE_CHECKING:
    from endonym.diagnose.subject import Subject


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    shown: int = Field(3, ge=0, description="Nearest samples that are kept with their neighbours.")


def probe(subject: Subject, cfg: Config) -> Finding:
    """Find the nearest training answer of every sample and of every held-out text."""
    if not subject.samples:
        return Finding("not measured: the model wrote nothing")
    written, held = (list(side) for side in zip(*subject.samples, strict=True))
    found = nearest([*written, *held], subject)
    half = len(written)
    measures = []
    for name, own in (("samples", found[:half]), ("held-out texts", found[half:])):
        near = as_table([share for share, _ in own], half)
        measures.append(measured(f"nearness of {name}", interval(near, ratio), half, "containment|char:5|v:1"))
    order = np.argsort([-share for share, _ in found[:half]], kind="stable")[: cfg.shown].tolist()
    shown = [{"sample": written[i], "neighbour": found[i][1], "nearness": found[i][0]} for i in order]
    text = (
        f"on average {measures[0].value:.0%} of a sample stands in its nearest training text, of a held-out text "
        f"{measures[1].value:.0%}; the nearest sample shares {found[order[0]][0] if order else 0:.0%}"
    )
    return Finding(text, measures, (), {"nearest": shown})


def nearest(texts: Sequence[str], subject: Subject) -> list[tuple[float, str]]:
    """For each text the share of its 5-grams in the training answer that has most of them, and that answer."""
    grams = [shingles(normalise(text)) for text in texts]
    owners: dict[str, list[int]] = {}
    for number, own in enumerate(grams):
        for gram in own:
            owners.setdefault(gram, []).append(number)
    best = [(0.0, "")] * len(texts)
    for number, chat in enumerate(subject.texts[TRAIN]):
        shared = Counter(i for gram in shingles(normalise(chat.answer)) for i in owners.get(gram, ()))
        for i, count in shared.items():
            if (share := count / len(grams[i])) > best[i][0]:
                best[i] = share, chat.answer
        if not number % 1000:
            subject.go_on()
    return best
