"""Whether a text's letters run as its language's do, rather than as another language's or as noise.

Learned from the project's own text: a model of each language, first from all its texts and then twice more from those that suit the
one before (trimmed fitting, as in Rousseeuw's least trimmed squares, 1984), so that what is not the language does not teach it. Against it
stand the project's other languages, foreign languages that py3langid names again and again among what does not fit, and the
language's own text with letters exchanged. A rare dialect is unlike the rest of its language but more unlike any of these.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from endonym.clean.batch import LEAST_TEXTS, Batch, Floats, Scale
from endonym.clean.letters import Letters, Runs
from endonym.data.foreign import classify

ROUNDS = 3
SHORT = 20
"""Letters added to every text's number, so that a short one has to be far off."""


class Config(BaseModel):
    """Settings of the language part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trimmed: float = Field(
        0.2, ge=0, lt=0.5, description="Share of texts, those that fit worst, that the model is not learned from."
    )
    exchanged: float = Field(
        0.25, gt=0, lt=1, description="Share of letters exchanged in the noise that texts are compared with."
    )
    texts: int = Field(20_000, ge=100, description="Texts of a language that its model is learned from.")
    tail: float = Field(0.002, ge=0, lt=0.5, description="Share of trusted texts that may lie beyond the edge.")


def fit(sample: Batch, cfg: Config) -> Callable[[Batch], Floats]:
    """Learn a model of every language with enough texts, and what stands against it."""
    texts = {
        code: [sample.texts[i] for i in places.tolist() if sample.trusted[sample.owners[i]]][: cfg.texts]
        for code, places in sample.of_language().items()
        if code
    }
    texts = {code: own for code, own in texts.items() if len(own) >= LEAST_TEXTS}
    trusted: dict[str, list[str]] = {}
    models: dict[str, Letters] = {}
    for code, own in texts.items():
        models[code], trusted[code] = _trimmed(own, cfg.trimmed)
    against: dict[str, list[Letters]] = {}
    scales: dict[str, Scale] = {}
    for code, own in texts.items():
        noise = Letters().learn(_noisy(trusted[code], cfg.exchanged))
        foreign = _foreign(own, trusted[code], code)
        others = [Letters().learn(found) for found in foreign]
        against[code] = [*(model for other, model in models.items() if other != code), *others, noise]
        scales[code] = Scale.fitted(_against(trusted[code], models[code], against[code]), cfg.tail, 1.5)
        # Better explained by something else is never usual, and what is better explained by the language is never beyond the edge.
        scales[code] = Scale(min(scales[code].usual, -0.05), max(scales[code].edge, 0.05))

    def measure(batch: Batch) -> Floats:
        values = np.full(len(batch.texts), np.nan)
        for code, places in batch.of_language().items():
            if code in models:
                own = [batch.texts[i] for i in places.tolist()]
                values[places] = scales[code].grade(_against(own, models[code], against[code]))
        return batch.worst(values)

    return measure


def _trimmed(texts: Sequence[str], share: float) -> tuple[Letters, list[str]]:
    kept = list(texts)
    model = Letters().learn(kept)
    for _ in range(ROUNDS - 1):
        bits, letters = model.bits(texts)
        # Little text says little: its bits a letter are drawn to the middle, so that it is neither first nor last.
        usual = bits.sum() / letters.sum()
        fit = (bits + SHORT * usual) / (letters + SHORT)
        kept = [texts[i] for i in np.flatnonzero(fit <= np.quantile(fit, 1 - share)).tolist()]
        model = Letters().learn(kept)
    return model, kept


def _against(texts: Sequence[str], model: Letters, others: Sequence[Letters]) -> NDArray[np.float64]:
    """Bits a letter that the best of the others saves; below 0 where the language itself is best."""
    runs = Runs.of(texts)
    own, letters = model.bits(texts, runs)
    best = np.min([other.bits(texts, runs)[0] for other in others], axis=0)
    return np.asarray((own - best) / (letters + SHORT))


def _noisy(texts: Sequence[str], share: float) -> list[str]:
    """Texts with letters put for one another, lost, or torn apart: what reads like nothing, made of the same letters."""
    rng = random.Random(7)
    letters = "".join(texts[:2000])
    noisy = []
    for text in texts[:4000]:
        made = [
            rng.choice((rng.choice(letters), rng.choice(letters), "", " ", rng.choice(".,;:|*^~_0123456789")))
            if rng.random() < share
            else char
            for char in text
        ]
        noisy.append("".join(made))
    return noisy


def _foreign(texts: Sequence[str], trusted: Sequence[str], code: str) -> list[list[str]]:
    """Texts outside of what is trusted that are in one language py3langid is sure of, and that it hardly ever sees in the rest."""
    inside = set(trusted)
    outside = [text for text in texts if text not in inside and len(text) >= SHORT]
    named: dict[str, list[str]] = {}
    for text in outside[:3000]:
        name, sure = classify(text)
        if sure > 0.9 and name != code:
            named.setdefault(name, []).append(text)
    usual = Counter(classify(text)[0] for text in trusted[:500])
    shown = max(1, min(500, len(trusted)))
    return [
        found
        for name, found in named.items()
        if len(found) >= 10 and len(found) / max(1, len(outside)) > 10 * usual[name] / shown
    ]
