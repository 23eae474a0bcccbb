"""Unify the marks that a language uses as an apostrophe-like letter (' ’ ʼ ꞌ) into the one the project uses most; quotes stay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from itertools import chain, islice
from typing import Any

import regex
from pydantic import BaseModel, ConfigDict, Field, field_validator

from endonym.clean.repairs import Repairs
from endonym.clean.texts import with_texts
from endonym.data.languages import name
from endonym.data.scripts import named
from endonym.types import Drop, Keep, Record

SAME = "'\u2019\u2018\u02bc\ua78c\ua78b\uff07\u2032\u00b4\u0060"
"""Marks typed one for another. The half rings, reversed commas and raised glottal stops (ʻ ʿ ʾ ʔ) tell letters apart and are not here."""
LETTERS = "\u02bc\ua78c\ua78b"
"""Those that are letters wherever they stand; the others are quotes as well."""
_MARK = regex.compile(f"[{regex.escape(SAME)}]")
_INSIDE = regex.compile(rf"(?<=[\p{{L}}\p{{M}}])[{regex.escape(SAME)}](?=\p{{L}})")
_OPENS = {
    "'": "'",
    "\u2018": "\u2019",
    "\u0060": "'\u00b4\u0060",
    "\u00b4": "\u00b4",
    "\uff07": "\uff07",
    "\u2019": "\u2019",
}
"""What a mark before a word is closed by, when it opens a quotation."""


class Config(BaseModel):
    """Settings of the apostrophe filter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language whose marks become one; the project's when empty.")
    to: str = Field("", description="The mark to write; empty takes the one the project uses most as a letter.")
    sample: int = Field(20_000, ge=100, description="Records looked at to find the mark used most.")

    @field_validator("to")
    @classmethod
    def _one_character(cls, value: str) -> str:
        if len(value) > 1:
            raise ValueError("give one character, or nothing")
        return value


def sift(records: Iterable[Record], cfg: Config) -> Generator[Keep | Drop, None, dict[str, Any]]:
    """Keep every record, its apostrophe-like letters made one; a mark that opens or closes a quotation is none of them."""
    stream = iter(records)
    head = list(islice(stream, cfg.sample))
    chosen = cfg.to or most_used(text for record in head for code, text in record.texts() if code == cfg.language)
    repairs = Repairs("apostrophe-like letters", True)
    before: Counter[str] = Counter()
    for record in chain(head, stream):

        def change(text: str, language: str, record: Record = record) -> str:
            if language != cfg.language or not _MARK.search(text):
                return text
            places = list(as_letters(text))
            before.update(text[i] for i in places)
            if all(text[i] == chosen for i in places):
                return text
            kinds = Counter(f"{named(text[i])} → {named(chosen)}" for i in places if text[i] != chosen)
            marks = set(places)
            return repairs.found(
                record, language, text, "".join(chosen if i in marks else c for i, c in enumerate(text)), kinds
            )

        yield Keep(with_texts(record, change))
    if not before:
        return {}
    rows = [[named(mark), number, "kept" if mark == chosen else named(chosen)] for mark, number in before.most_common()]
    facts = repairs.as_json("")
    samples = facts.get("tables", [])
    table = {
        "title": f"marks that {name(cfg.language)} uses as a letter",
        "header": ["mark", "times", "now"],
        "rows": rows,
    }
    return {
        **facts,
        "chosen": named(chosen),
        "found": {named(m): n for m, n in before.most_common()},
        "tables": [table, *samples],
    }


def most_used(texts: Iterable[str]) -> str:
    """The mark that stands most often between two letters, where it can be nothing but a letter or an apostrophe."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(_INSIDE.findall(text))
    return counts.most_common(1)[0][0] if counts else "'"


def as_letters(text: str) -> Iterator[int]:
    """Positions of the marks that play the part of a letter: inside a word, or at its edge where no quotation can end or begin."""
    quotes = _quotes(text)
    for found in _MARK.finditer(text):
        i = found.start()
        before, after = _is_letter(text, i - 1), _is_letter(text, i + 1)
        # A prime after a number is a minute or a foot.
        if (before and after) or ((before or after) and (text[i] in LETTERS or i not in quotes)):
            yield i


def _quotes(text: str) -> set[int]:
    """Positions of marks at word edges that open or close a quotation: one before a word and the next fitting one behind a word."""
    found: set[int] = set()
    opened: tuple[int, str] | None = None
    for match in _MARK.finditer(text):
        i = match.start()
        before, after = _is_letter(text, i - 1), _is_letter(text, i + 1)
        if before and after:
            continue
        if opened and not after and text[i] in opened[1]:
            found |= {opened[0], i}
            opened = None
        elif not before and text[i] in _OPENS and opened is None:
            opened = (i, _OPENS[text[i]])
    return found


def _is_letter(text: str, i: int) -> bool:
    return 0 <= i < len(text) and (text[i].isalpha() or bool(regex.match(r"\p{M}", text[i])))
