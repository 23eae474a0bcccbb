"""Answers as SQuAD compares them, for every script: without case, punctuation and, in English, articles."""

from __future__ import annotations

import unicodedata

from endonym.data.scripts import script

ARTICLES = {"eng": ("a", "an", "the")}
"""Articles that SQuAD leaves out."""
UNSPACED = ("Hani", "Hira", "Kana", "Thai", "Laoo", "Khmr", "Mymr", "Tibt")
"""Scripts that part no words (ISO 15924)."""


def plain_words(text: str, language: str) -> list[str]:
    """The words of an answer that are compared; each character is one where the script does not part words."""
    kept = (
        " " if unicodedata.category(c)[0] == "P" and c not in "'’ʼ" else c for c in unicodedata.normalize("NFC", text)
    )
    parted = "".join(f" {c} " if script(c) in UNSPACED else c for c in "".join(kept).casefold())
    return [word for word in parted.split() if word not in ARTICLES.get(language, ())]
