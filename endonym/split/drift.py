"""Say what differs between splits and between sources: apostrophes, capitals, final marks, length, script.

Two sets of texts in one language are compared by the share of texts with a property (two-proportion z test) and by their lengths
(two-sample Kolmogorov-Smirnov test, Smirnov 1948). A difference is named only when it is beyond chance (p below 0.001, since many are
looked at) and large enough to matter. In a published Raramuri system the apostrophe alone, typed differently in training and
test, was worth 0.4 chrF++.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from endonym.data.languages import name
from endonym.data.scripts import APOSTROPHES, dominant_script
from endonym.store.files import write_json
from endonym.types import Chat, Doc, Pair, Record

ALPHA = 0.001
LEAST_SHARE = 0.1
"""Smallest difference of two shares that is named."""
LEAST_DISTANCE = 0.2
"""Smallest Kolmogorov-Smirnov distance of two length distributions that is named."""
LEAST_TEXTS = 20
NO_SCRIPT = "Zyyy"
"""What texts without letters are written in."""


@dataclass(frozen=True)
class Difference:
    """One property in which two sets of texts differ."""

    language: str
    kind: str
    """`split` or `source`."""
    first: str
    second: str
    what: str
    first_value: float
    second_value: float
    p_value: float
    sentence: str


@dataclass(frozen=True)
class Drift:
    """All differences found, and the profile of every set they come from."""

    differences: list[Difference]
    profiles: dict[str, dict[str, Any]]

    @property
    def sentences(self) -> list[str]:
        return [difference.sentence for difference in self.differences]

    def write(self, path: Path) -> None:
        """Write `drift.json`: sentences first, then the numbers behind them."""
        data = {
            "sentences": self.sentences,
            "differences": [asdict(d) for d in self.differences],
            "profiles": self.profiles,
        }
        write_json(path, data)


@dataclass(frozen=True)
class Profile:
    """How the texts of one set are written."""

    num_texts: int
    lengths: list[int]
    shares: dict[str, float]
    """Share of texts with each property; for apostrophes, share of all apostrophes."""
    counts: dict[str, int]
    """What each share is taken of."""


def describe(splits: Mapping[str, Sequence[Record]]) -> Drift:
    """Compare `valid` and `test` with `train`, and each source with all others, language by language and kind by kind."""
    by_split: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    by_source: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for split, records in splits.items():
        for record in records:
            for language, text, origin in _running(record):
                by_split[language, record.kind][split].append(text)
                by_source[language, "text"][origin.rpartition(":")[0] or origin].append(text)
    differences: list[Difference] = []
    profiles: dict[str, dict[str, Any]] = {}
    for kind, found in (("split", by_split), ("source", by_source)):
        for (language, of), sets in sorted(found.items()):
            measured = {title: profile(texts) for title, texts in sets.items() if len(texts) >= LEAST_TEXTS}
            for title, one in measured.items():
                profiles[f"{kind} {title}, {language} {of}"] = {"texts": one.num_texts, **_rounded(one.shares)}
            for first, second in _comparisons(kind, measured):
                differences += compare(kind, language, first, measured[first], second, measured[second])
    return Drift(differences, profiles)


def profile(texts: Sequence[str]) -> Profile:
    """Measure how texts are written."""
    stripped = [text.strip() for text in texts if text.strip()]
    apostrophes = Counter(c for text in stripped for c in text if c in APOSTROPHES)
    letters = [next((c for c in text if unicodedata.category(c).startswith("L")), "") for text in stripped]
    cased = [c for c in letters if c.lower() != c.upper()]
    scripts = Counter(dominant_script(text) for text in stripped)
    total = len(stripped)
    shares: dict[str, float] = {}
    counts: dict[str, int] = {}
    for char, number in apostrophes.items():
        key = f"apostrophe U+{ord(char):04X}"
        shares[key], counts[key] = number / apostrophes.total(), apostrophes.total()
    if cased:
        shares["capital first"], counts["capital first"] = sum(c.isupper() for c in cased) / len(cased), len(cased)
    ends = sum(unicodedata.category(text.rstrip("\"'”’»)")[-1:] or " ") == "Po" for text in stripped)
    shares["final mark"], counts["final mark"] = ends / max(1, total), total
    del scripts[NO_SCRIPT]
    for script, number in scripts.items():
        shares[f"script {script}"], counts[f"script {script}"] = number / total, total
    return Profile(total, [len(text) for text in stripped], shares, counts)


def compare(kind: str, language: str, first: str, a: Profile, second: str, b: Profile) -> list[Difference]:
    """Differences of two profiles that are beyond chance and large enough."""
    found = []
    for what in sorted({*a.shares, *b.shares}):
        x, y = a.shares.get(what, 0.0), b.shares.get(what, 0.0)
        group = what.partition(" ")[0] if what.startswith(("apostrophe", "script")) else what
        n, m = _taken_of(a, what, group), _taken_of(b, what, group)
        p = two_proportions(x, n, y, m)
        if abs(x - y) >= LEAST_SHARE and p < ALPHA:
            said = f"{name(language)}: {_property(what)} {x:.0%} in {first}, {y:.0%} in {second}."
            found.append(Difference(language, kind, first, second, what, round(x, 4), round(y, 4), p, said))
    distance, p = kolmogorov_smirnov(a.lengths, b.lengths)
    if distance >= LEAST_DISTANCE and p < ALPHA:
        x, y = float(np.median(a.lengths)), float(np.median(b.lengths))
        said = (
            f"{name(language)}: half of the texts are longer than {x:.0f} characters in {first}, {y:.0f} in {second}."
        )
        found.append(Difference(language, kind, first, second, "length", x, y, p, said))
    return found


def two_proportions(x: float, n: int, y: float, m: int) -> float:
    """Two-sided p-value of the pooled z test for shares `x` of `n` and `y` of `m`."""
    if not n or not m:
        return 1.0
    pooled = (x * n + y * m) / (n + m)
    deviation = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return math.erfc(abs(x - y) / deviation / math.sqrt(2)) if deviation else 1.0


def kolmogorov_smirnov(first: Sequence[int], second: Sequence[int]) -> tuple[float, float]:
    """Largest distance of two empirical distributions and its asymptotic p-value."""
    if not first or not second:
        return 0.0, 1.0
    a, b = np.sort(first), np.sort(second)
    points = np.concatenate([a, b])
    distance = float(
        np.abs(np.searchsorted(a, points, "right") / len(a) - np.searchsorted(b, points, "right") / len(b)).max()
    )
    size = math.sqrt(len(a) * len(b) / (len(a) + len(b)))
    scaled = (size + 0.12 + 0.11 / size) * distance
    p = 2 * sum((-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101)) if scaled > 0.2 else 1.0
    return distance, min(1.0, max(0.0, p))


def _comparisons(kind: str, measured: Mapping[str, Profile]) -> Iterable[tuple[str, str]]:
    if kind == "split":
        return [("train", other) for other in ("valid", "test") if "train" in measured and other in measured]
    names = sorted(measured, key=lambda title: -measured[title].num_texts)
    return [(names[0], other) for other in names[1:]] if names else []


def _running(record: Record) -> list[tuple[str, str, str]]:
    """Language, text and origin of texts that are sentences; headwords and definitions have ways of their own."""
    if isinstance(record, Pair):
        target_origin = str(record.meta.get("target_origin") or record.origin)
        return [
            (record.source_language, record.source, record.origin),
            (record.target_language, record.target, target_origin),
        ]
    if isinstance(record, Doc):
        return [(record.language, record.text, record.origin)]
    return [(record.language, record.answer, record.origin)] if isinstance(record, Chat) and record.answer else []


def _taken_of(one: Profile, what: str, group: str) -> int:
    return one.counts.get(what) or max((n for key, n in one.counts.items() if key.startswith(group)), default=0)


def _property(what: str) -> str:
    kind, _, value = what.partition(" ")
    if kind == "apostrophe":
        return f"of the apostrophes, {chr(int(value[2:], 16))} ({value}) is"
    if kind == "script":
        return f"texts in the script {value} are"
    return "texts that begin with a capital are" if kind == "capital" else "texts that end with a punctuation mark are"


def _rounded(shares: Mapping[str, float]) -> dict[str, float]:
    return {key: round(value, 4) for key, value in sorted(shares.items())}
