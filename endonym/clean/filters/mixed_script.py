"""Find words that mix scripts by a look-alike letter (a Latin a in a Cyrillic word) and show the repair; take stock of scripts."""

from __future__ import annotations

import tomllib
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import regex
from pydantic import BaseModel, ConfigDict, Field

import endonym.data
from endonym.clean.repairs import Repairs
from endonym.clean.texts import with_texts
from endonym.data.languages import language as language_of
from endonym.data.scripts import NEUTRAL, script
from endonym.types import Drop, Keep, Record

SCRIPTS = ("Latn", "Cyrl", "Grek")
_WORD = regex.compile(r"[\p{L}\p{M}]+")
_MIXED = regex.compile(
    r"(?=[\p{L}\p{M}]*\p{Latin})(?=[\p{L}\p{M}]*[\p{Cyrillic}\p{Greek}])[\p{L}\p{M}]+"
    r"|(?=[\p{L}\p{M}]*\p{Cyrillic})(?=[\p{L}\p{M}]*\p{Greek})[\p{L}\p{M}]+"
)


class Config(BaseModel):
    """Settings of the mixed-script filter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repair: bool = Field(
        False, description="Put the right letter in; without it the repairs are shown and nothing changes."
    )


def sift(records: Iterable[Record], cfg: Config) -> Generator[Keep | Drop, None, dict[str, Any]]:
    """Keep every record; words of two scripts are counted, and repaired when `repair` is set and a look-alike explains them."""
    repairs = Repairs("words with look-alike letters of another script", cfg.repair)
    inventory: dict[str, Counter[str]] = defaultdict(Counter)
    others: Counter[str] = Counter()
    for record in records:

        def change(text: str, language: str, record: Record = record) -> str:
            inventory[language].update(text)
            # Only Latin, Cyrillic and Greek look alike, and plain ASCII is Latin alone.
            if text.isascii() or not _MIXED.search(text):
                return text
            found: Counter[str] = Counter()
            home = language_of(language).scripts if language else ()

            def word(match: regex.Match[str]) -> str:
                better = unmixed(match.group(), home)
                if better is None:
                    others[match.group()] += 1
                elif better != match.group():
                    found[f"{match.group()} → {better}"] += 1
                return better or match.group()

            better = _MIXED.sub(word, text)
            return repairs.found(record, language, text, better, found) if found else text

        yield Keep(with_texts(record, change))
    facts = repairs.as_json("--mixed_script.repair")
    return {**facts, "unexplained": dict(others.most_common(50)), "inventory": stock(inventory)}


def unmixed(word: str, home: Iterable[str] = ()) -> str | None:
    """A word of two scripts in the one it can be written in wholly; None when no look-alike explains it.

    Where both scripts could write it, that of most letters is taken, then that of the language (`home`).
    """
    counts = Counter(code for char in word if (code := script(char)) not in NEUTRAL)
    if len(counts) < 2 or not set(counts) <= set(SCRIPTS):
        return None if len(counts) > 1 else word
    table = _look_alikes()
    best = None
    for code in sorted(counts, key=lambda code: (counts[code], code in tuple(home)), reverse=True):
        written = [char if script(char) in (code, *NEUTRAL) else table.get((char, code)) for char in word]
        foreign = sum(number for other, number in counts.items() if other != code)
        # A word is written in the script of most of its letters: beside two Latin letters a beta makes no Greek word.
        fits = all(written) and foreign <= counts[code]
        if fits and (best is None or (code in tuple(home) and foreign == best[1])):
            best = ("".join(map(str, written)), foreign)
    return best[0] if best else None


def stock(inventory: dict[str, Counter[str]]) -> dict[str, dict[str, Any]]:
    """Letters and marks of each language by script, the most used first, as counts."""
    found: dict[str, dict[str, Any]] = {}
    for code, counts in inventory.items():
        by_script: dict[str, Counter[str]] = defaultdict(Counter)
        for char, number in counts.items():
            if regex.match(r"[\p{L}\p{M}]", char):
                by_script[script(char)][char] += number
        ordered = sorted(by_script.items(), key=lambda item: -item[1].total())
        found[code] = {name: {"letters": kinds.total(), "kinds": len(kinds), "most": "".join(c for c, _ in kinds.most_common(60))}
                       for name, kinds in ordered}  # fmt: skip
    return found


@cache
def _look_alikes() -> dict[tuple[str, str], str]:
    """(letter, script) -> the letter of that script of the same shape."""
    path = Path(endonym.data.__file__).with_name("homoglyphs.toml")
    found = {}
    for shape in tomllib.loads(path.read_text(encoding="utf-8"))["shapes"]:
        for letter in shape:
            for code, other in zip(SCRIPTS, shape):
                if letter != "-" and other not in ("-", letter):
                    found[letter, code] = other
    return found
