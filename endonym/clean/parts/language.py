"""Whether a text's letters run as its language's do, rather than as another language's or as noise.

Learned from the project's own text: a model of each language, first from all its texts and then twice more from those that suit the
one before (trimmed fitting, as in Rousseeuw's least trimmed squares, 1984), so that what is not the language does not teach it. Against it
stand the project's other languages, foreign languages that py3langid names again and again among what does not fit, and the
language's own text with letters exchanged; a text in a script that the project's text is not in stands nowhere. A rare dialect is unlike the rest of its language but more unlike any of these.
How much each counts is learned by telling the project's text from these.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from endonym.clean.batch import LEAST_TEXTS, Batch, Floats
from endonym.clean.characters import scripts
from endonym.clean.letters import Letters, Runs
from endonym.clean.mixture import Mixture
from endonym.data.foreign import classify

ROUNDS = 3
SHORT = 20
"""Letters added to every text's number, so that a short one has to be far off."""

ENOUGH = 4000
"""Texts of a language from which on its model is taken at its word."""
USED = 0.02
"""Share of a language's letters from which on it is written in a script, in this project."""
NAMES = 12
"""Letters that may be in any script: names and signs."""
LEAST_LETTERS = 10
"""Fewer letters, the end counted as one, tell nothing."""


class Config(BaseModel):
    """Settings of the language part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trimmed: float = Field(
        0.2, ge=0, lt=0.5, description="Share of texts, those that fit worst, that the model is not learned from."
    )
    exchanged: float = Field(
        0.4, gt=0, lt=1, description="Largest share of letters exchanged in the noise that texts are compared with."
    )
    texts: int = Field(20_000, ge=100, description="Texts of a language that its model is learned from.")
    odds: float = Field(
        100.0, ge=1, description="How many times as likely something else has to be for a text to be at the edge."
    )


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
    known = {code: _Known(own, trusted[code], code, models, trusted, cfg) for code, own in texts.items()}

    def measure(batch: Batch) -> Floats:
        values = np.full(len(batch.texts), np.nan)
        for code, places in batch.of_language().items():
            if code in known:
                values[places] = known[code].grade([batch.texts[i] for i in places.tolist()])
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


class _Known:
    """One language: its model, what stands against it, and how far a text may be off."""

    def __init__(
        self,
        texts: Sequence[str],
        trusted: Sequence[str],
        code: str,
        models: Mapping[str, Letters],
        others: Mapping[str, Sequence[str]],
        cfg: Config,
    ):
        noisy = _noisy(trusted, cfg.exchanged)
        foreign = _foreign(texts, trusted, code)
        self.model, self.noise = models[code], Letters().learn(noisy)
        self.others = [model for other, model in models.items() if other != code]
        self.others += [Letters().learn(found) for found in foreign]
        elsewhere = [text for other, found in others.items() if other != code for text in found[:2000]]
        elsewhere += [text for found in foreign for text in found]
        inside = set(trusted)
        counts, names = scripts(trusted)
        shares = counts[:, 1:].sum(axis=0) / max(1, counts[:, 1:].sum())
        self.scripts = {name for name, share in zip(names[1:], shares) if share >= USED}
        signs, good = self._signs(texts), np.array([text in inside for text in texts])
        # Few texts do not show all that the language has, so that what is odd among them may still be it.
        odds = cfg.odds * max(1.0, ENOUGH / len(texts))
        self.mixtures = [
            Mixture.against(signs, good, self._signs(wrong), odds)
            for wrong in (noisy, elsewhere)
            if len(wrong) >= LEAST_TEXTS
        ]

    def grade(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """0 to 1 for each text."""
        signs = self._signs(texts)
        values = np.min([mixture.grade(signs) for mixture in self.mixtures], axis=0)
        counts, names = scripts(texts)
        strange = counts[:, [i > 0 and name not in self.scripts for i, name in enumerate(names)]].sum(axis=1)
        values[strange - NAMES > counts[:, 1:].sum(axis=1) / 2] = 0
        return np.where(signs[:, -1] < np.log(LEAST_LETTERS + 10), np.nan, values)

    def _signs(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Bits a letter that the language, noise and the best of the others take, and the number of letters."""
        runs = Runs.of(texts)
        own, letters = self.model.bits(texts, runs)
        noise = own - self.noise.bits(texts, runs)[0]
        other = own - np.min([model.bits(texts, runs)[0] for model in self.others or [self.noise]], axis=0)
        size = np.log(letters + 10.0)
        rate = [part / (letters + SHORT) for part in (own, noise, other)]
        return np.column_stack([*rate, np.maximum(rate[1], 0), np.maximum(rate[2], 0), size])


def _noisy(texts: Sequence[str], share: float) -> list[str]:
    """Texts with letters put for one another, lost, or torn apart: what reads like nothing, made of the same letters."""
    rng = random.Random(7)
    letters = "".join(texts[:2000])
    noisy = []
    for text in texts[:4000]:
        own = rng.uniform(share / 2, share)
        made = [
            rng.choice((rng.choice(letters), rng.choice(letters), "", " ", rng.choice(".,;:|*^~_0123456789")))
            if rng.random() < own
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
