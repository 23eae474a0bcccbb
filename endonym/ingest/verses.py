"""Verse numbers at the beginning of paragraphs (`3:16 text`, `GEN 1.1 text`): told from section numbers and cut off."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

LEAST = 5
SHARE = 0.6
"""Share of paragraphs that begin with a number of this form where a text is in verses."""
_VERSE = re.compile(
    r"\s*(?:(?P<book>(?:[1-4]\s?)?[^\W\d_][\w'’]*(?:\s[^\W\d_][\w'’]*){0,3})\.?\s+)?"
    r"(?P<chapter>\d{1,3})[:.](?P<verse>\d{1,3})(?:[-–](?P<last>\d{1,3}))?[a-z]?[.)\]]?(?:\s+|$)"
)


class Verses:
    """Cuts verse numbers off, once `look` has seen that a text has them; `wanted` decides it when it is not None."""

    def __init__(self, wanted: bool | None = None):
        self.wanted = wanted
        self.on = bool(wanted)
        self.now = ""
        self._book = ""
        self._books: dict[str, int] = {}

    def look(self, texts: Iterable[str]) -> None:
        """Decide by the first paragraphs: most begin with a verse number, and the numbers rise as verses do."""
        if self.wanted is not None:
            return
        marks = [_VERSE.match(text) for text in texts]
        found = [(int(m["chapter"]), int(m["verse"])) for m in marks if m]
        follow = sum(b == (a[0], a[1] + 1) or (b[0] == a[0] + 1 and b[1] == 1) for a, b in pairwise(found))
        # Sections are numbered 1.1 too, but their paragraphs are not, and there are few of one chapter in a row.
        self.on = len(found) >= LEAST and len(found) >= SHARE * len(marks) and follow >= SHARE * (len(found) - 1)

    def cut(self, text: str) -> tuple[str, str]:
        """The text without its number, and the verse it is in; a paragraph without a number belongs to the verse before it.

        A book's three-letter code (`GEN`) is part of the verse's name; other names of books differ from language to language
        and are numbered in the order they come.
        """
        if not self.on:
            return text, ""
        found = _VERSE.match(text)
        if found and text[found.end() :].strip():
            last = f"-{int(found['last'])}" if found["last"] else ""
            self.now = f"{self._of(found['book'] or '')}{int(found['chapter'])}:{int(found['verse'])}{last}"
            return text[found.end() :], self.now
        return text, self.now

    def _of(self, book: str) -> str:
        book = book.strip()
        if re.fullmatch(r"[1-4A-Z][A-Z]{2}", book):
            return f"{book} "
        if book:
            self._books.setdefault(book, len(self._books) + 1)
            self._book = book
        number = self._books.get(self._book, 1)
        return f"book {number} " if number > 1 else ""
