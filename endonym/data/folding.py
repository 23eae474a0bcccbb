"""Fold spellings that a language uses one for another, for looking things up and for a second score, never in training data."""

from __future__ import annotations

import tomllib
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

import regex

from endonym.data.ethiopic import DIGITS, parse_number
from endonym.data.scripts import APOSTROPHES

_NUMERAL = regex.compile(f"[{''.join(sorted(DIGITS))}]+")
_PRESENTATION = regex.compile(r"[\uFB50-\uFDFB\uFE70-\uFEFC]+")
_TATWEEL = "\u0640"
_ONE_APOSTROPHE = str.maketrans(dict.fromkeys(APOSTROPHES, "'"))


def fold(text: str, language: str = "") -> str:
    """The text with letters that its language confuses made one, apostrophes one, and Arabic letters in their plain form.

    What is folded by language stands in `folding.toml`; folding twice is folding once.
    """
    letters, numerals = _rules(language)
    folded = unicodedata.normalize("NFC", plain_arabic(text)).translate(_ONE_APOSTROPHE).translate(letters)
    folded = folded.replace(_TATWEEL, "")
    return _NUMERAL.sub(_as_digits, folded) if numerals else folded


def has_rules(language: str) -> bool:
    """Whether a language has letters of its own that are folded."""
    return language in _table()


def plain_arabic(text: str) -> str:
    """Arabic presentation forms (the shapes of a letter at the ends of words, and ligatures) as the letters they stand for."""
    return _PRESENTATION.sub(lambda found: unicodedata.normalize("NFKC", found.group()), text)


def _as_digits(numeral: regex.Match[str]) -> str:
    try:
        return str(parse_number(numeral.group()))
    except ValueError:
        return numeral.group()


@cache
def _rules(language: str) -> tuple[dict[int, str], bool]:
    rules = _table().get(language, {})
    letters = {ord(letter): group[0] for group in rules.get("groups", ()) for letter in group[1:]}
    return letters, bool(rules.get("numerals"))


@cache
def _table() -> dict[str, dict[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("folding.toml").read_text(encoding="utf-8"))
