"""What a character is: its Unicode block, its script, and whether it plays the part of an apostrophe."""

from __future__ import annotations

import json
import unicodedata
from bisect import bisect_right
from collections import Counter
from functools import lru_cache
from pathlib import Path

APOSTROPHES = "'\u2019\u2018\u02bc\u02bb\u02bd\u02be\u02bf\u02c0\u02c1\ua78c\ua78b\u0060\u00b4\u2032\uff07"
"""Characters used as a glottal stop, ejective mark or apostrophe; many keyboards give a different one."""

NEUTRAL = frozenset(("Zyyy", "Zinh", "Zzzz"))
"""Scripts of characters that many scripts share: digits, punctuation, combining marks."""

UNSPACED = frozenset(
    ("Thai", "Laoo", "Khmr", "Mymr", "Hani", "Hira", "Kana", "Bopo", "Java", "Bali", "Lana", "Talu", "Tale")
)
"""Scripts whose words usually stand without spaces, or anything else, between them."""


@lru_cache(maxsize=1)
def _tables() -> tuple[list[int], list[str], list[int], list[str]]:
    data = json.loads(Path(__file__).with_name("unicode.json").read_text(encoding="utf-8"))
    blocks, scripts = data["blocks"], data["scripts"]
    return [s for s, _ in blocks], [n for _, n in blocks], [s for s, _ in scripts], [n for _, n in scripts]


@lru_cache(maxsize=65536)
def block(char: str) -> str:
    """Name of the Unicode block of one character: `Ethiopic`, `Basic Latin`."""
    starts, names, _, _ = _tables()
    return names[bisect_right(starts, ord(char)) - 1]


@lru_cache(maxsize=65536)
def script(char: str) -> str:
    """ISO 15924 code of the script of one character: `Ethi`, `Latn`; `Zyyy` for shared ones."""
    _, _, starts, names = _tables()
    return names[bisect_right(starts, ord(char)) - 1]


def count_blocks(text: str) -> Counter[str]:
    """Count the characters of a text per Unicode block."""
    counts: Counter[str] = Counter()
    for char, number in Counter(text).items():
        counts[block(char)] += number
    return counts


def count_scripts(text: str) -> Counter[str]:
    """Count the letters and marks of a text per script, those that many scripts share left out."""
    counts: Counter[str] = Counter()
    for char, number in Counter(text).items():
        code = script(char)
        if code not in NEUTRAL and unicodedata.category(char)[0] in "LMN":
            counts[code] += number
    return counts


def dominant_script(text: str) -> str:
    """Script of most letters of a text, `Zyyy` when it has none."""
    counts = count_scripts(text)
    return counts.most_common(1)[0][0] if counts else "Zyyy"


def named(char: str) -> str:
    """A character as its code point and Unicode name: `U+02BC MODIFIER LETTER APOSTROPHE`."""
    return f"U+{ord(char):04X} {unicodedata.name(char, 'control')}"
