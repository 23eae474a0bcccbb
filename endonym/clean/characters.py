"""What the characters of many texts are, counted at once: letters, digits, spaces, the rest, and scripts."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from endonym.data.scripts import NEUTRAL, script

LETTER, DIGIT, SPACE, OTHER = range(4)
_KIND = np.full(0x110000, 255, np.uint8)
_SCRIPT = np.zeros(0x110000, np.uint8)
_SCRIPTS = [""]
"""Names of scripts by their number; 0 is what many scripts share."""


def joined(texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Code points of all texts in a row, and for each the number of its text."""
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    return codes, np.repeat(np.arange(len(texts)), lengths)


def kinds(texts: Sequence[str]) -> NDArray[np.int64]:
    """For each text how many of its characters are letters or marks, digits, spaces, and anything else: `[texts, 4]`."""
    codes, owners = joined(texts)
    return np.bincount(owners * 4 + kind(codes), minlength=4 * len(texts)).reshape(-1, 4)


def kind(codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Of each code point whether it is LETTER, DIGIT, SPACE or OTHER."""
    _learn(codes)
    return _KIND.take(codes)


def scripts(texts: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """For each text how many of its letters are in each script, `[texts, scripts]`, and the ISO 15924 codes of these."""
    codes, owners = joined(texts)
    letters = kind(codes) == LETTER
    width = len(_SCRIPTS)
    found = np.bincount(owners[letters] * width + _SCRIPT[codes[letters]], minlength=width * len(texts))
    return found.reshape(-1, width), _SCRIPTS


def _learn(codes: NDArray[np.uint32]) -> None:
    for code in np.unique(codes[_KIND.take(codes) == 255]).tolist():
        char = chr(code)
        category = unicodedata.category(char)
        _KIND[code] = {"L": LETTER, "M": LETTER, "N": DIGIT, "Z": SPACE}.get(
            category[0], SPACE if char.isspace() else OTHER
        )
        name = script(char)
        if name not in NEUTRAL:
            if name not in _SCRIPTS:
                _SCRIPTS.append(name)
            _SCRIPT[code] = _SCRIPTS.index(name)
