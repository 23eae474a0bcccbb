"""Decide which language a text is in, and say how it was decided."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from endonym.data.foreign import classify, identifier
from endonym.data.languages import language, name
from endonym.data.scripts import count_scripts

MOST_CHARS = 4000
LEAST_CHARS = 40
ALIKE = 0.3
"""Cosine of trigram counts above which a text is in the language of a profile. Measured on the Universal Declaration in 20
languages against dictionary examples: the language itself 0.41 to 0.61, its nearest relative 0.22 to 0.39, others below 0.25."""
LIKELY = 0.5
"""Probability from which py3langid is believed for one of the project's two languages."""
SURE = 0.99
"""The same for any other language."""
WIDELY_WRITTEN = (
    "eng",
    "spa",
    "fra",
    "por",
    "deu",
    "ita",
    "nld",
    "rus",
    "ara",
    "hin",
    "zho",
    "tur",
    "ind",
    "swa",
    "amh",
)


@dataclass(frozen=True)
class Guess:
    """A language code (empty when nothing tells) and the reason in words."""

    code: str
    how: str


@dataclass
class Known:
    """What is known before looking: the project's two languages, and texts whose language something certain told."""

    language: str
    pivot: str
    profiles: dict[str, Counter[str]] = field(default_factory=dict)

    def learn(self, code: str, texts: Iterable[str]) -> None:
        """Remember the trigrams of texts in a language that is sure."""
        self.profiles.setdefault(code, Counter()).update(trigrams(" ".join(texts)[:MOST_CHARS]))


def identify(texts: Iterable[str], known: Known) -> Guess:
    """Tell the language of texts between the project's two, or name a widely written one.

    In this order: the script, when it fits only one of the two; the trigrams of texts whose language is known; py3langid.
    What is left is taken for the project's language, and said to be, with what the Universal Declaration tells (446 languages, a
    page of each: enough to confirm, not to contradict): few of the languages this is for are known to any
    identifier, and py3langid is as sure (0.999) when it calls K'iche' Quechua as when it is right, so that beside the
    project's two only languages it hardly ever confuses are believed.
    """
    text = " ".join(texts)[:MOST_CHARS]
    if not any(char.isalpha() for char in text):
        return Guess("", "it has no letters")
    by_script = _by_script(text, known)
    if by_script:
        return by_script
    if len(text) < LEAST_CHARS:
        return Guess("", "it is too short to tell")
    if len(known.profiles) > 1:
        counts = trigrams(text)
        near = sorted(((similarity(counts, p), code) for code, p in known.profiles.items()), reverse=True)
        if near[0][0] > max(ALIKE, 1.3 * near[1][0]):
            return Guess(near[0][1], f"its letters run as in the other {name(near[0][1])} texts")
    code, sure = classify(text)
    if (code in (known.pivot, known.language) and sure >= LIKELY) or (code in WIDELY_WRITTEN and sure >= SURE):
        return Guess(code, f"py3langid says {name(code)} ({sure:.0%})")
    if _unknown(known.language) and code != known.pivot:
        from endonym.data.langid import nearest

        like, likely = nearest(text)
        if language(like).code == language(known.language).code and likely >= LIKELY:
            return Guess(known.language, f"its letters run as in the Universal Declaration in {name(known.language)}")
        return Guess(
            known.language,
            f"taken for it: it is not {name(known.pivot)}, and no identifier knows {name(known.language)}; of the languages of the "
            f"Universal Declaration its letters are most like {name(like)}",
        )
    return Guess("", f"py3langid is not sure ({name(code)}, {sure:.0%})")


def _by_script(text: str, known: Known) -> Guess | None:
    counts = count_scripts(text)
    if not counts:
        return None
    script, number = counts.most_common(1)[0]
    fits = [code for code in (known.language, known.pivot) if script in language(code).scripts]
    others = [code for code in (known.language, known.pivot) if language(code).scripts and code not in fits]
    if len(fits) == 1 and len(others) == 1 and number > 0.6 * sum(counts.values()):
        return Guess(fits[0], f"it is written in {script}, as {name(fits[0])} is and {name(others[0])} is not")
    return None


def trigrams(text: str) -> Counter[str]:
    """Counts of character trigrams of the words of a text, word ends marked."""
    padded = " " + " ".join(text.casefold().split()) + " "
    return Counter(padded[i : i + 3] for i in range(len(padded) - 2))


def similarity(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    """Cosine of two count vectors."""
    shared = sum(number * other.get(key, 0) for key, number in one.items())
    norm = math.sqrt(sum(n * n for n in one.values()) * sum(n * n for n in other.values()))
    return shared / norm if norm else 0.0


def _unknown(code: str) -> bool:
    return code not in {language(short).code for short in identifier().nb_classes}
