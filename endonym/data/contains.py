"""Whether a text says a word, in any script: composed and case-folded, and whole only where the script sets words apart."""

from __future__ import annotations

import unicodedata

from endonym.data.scripts import UNSPACED, script


def folded(text: str) -> str:
    """The text in NFC, case-folded, with single spaces."""
    return " ".join(unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold()).split())


def says(text: str, word: str) -> bool:
    """Whether `text` has `word`, which may be several words, `a|b` for either, and `stem*` for any word that begins so.

    A match must not begin or end inside a word, except in scripts that do not divide words. Apostrophes of a keyboard end a word
    (`l'eau` has `eau`); letters that look like them (U+02BC) belong to it.
    """
    whole = folded(text)
    return any(_stands(whole, folded(part)) for part in word.split("|") if part.strip())


def _stands(text: str, word: str) -> bool:
    open_end = word.endswith("*")
    word = word.removesuffix("*").strip()
    start = text.find(word) if word else -1
    while start >= 0:
        end = start + len(word)
        begins = start == 0 or not (_joined(text[start - 1]) and _joined(word[0]))
        ends = open_end or end == len(text) or not (_joined(word[-1]) and _joined(text[end]))
        # A mark belongs to the letter before it, whatever the script.
        if begins and ends and not (end < len(text) and not open_end and unicodedata.category(text[end])[0] == "M"):
            return True
        start = text.find(word, start + 1)
    return False


def _joined(char: str) -> bool:
    """Whether a character may stand inside a word of a script that sets words apart."""
    return unicodedata.category(char)[0] in "LMN" and script(char) not in UNSPACED
