"""Drop records with no letters, with an empty side, or too long to be what they say they are.

Of a pair with `???` for a translation, the sentence stays as a text of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.scripts import count_blocks
from endonym.types import Doc, Drop, Entry, Keep, Pair, Record


class Config(BaseModel):
    """Settings of the length filter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_letters: int = Field(
        1, ge=0, description="Letters every text of a record must have; headwords may be one letter."
    )
    max_chars: int = Field(10_000, ge=1, description="Characters one side of a pair, a definition or a turn may have.")
    max_doc_chars: int = Field(50_000, ge=1, description="Characters a paragraph of a document may have.")
    keep_untranslated: bool = Field(
        True, description="Keep the sentence of a pair that has no letters on its other side, as text in its language."
    )


def sift(records: Iterable[Record], cfg: Config) -> Generator[Keep | Drop, None, dict[str, Any]]:
    """Keep records whose every text has letters and a bearable length; an entry must have a definition."""
    removed: Counter[str] = Counter()
    num_alone = 0
    for record in records:
        if isinstance(record, Pair) and cfg.keep_untranslated and (found := _alone(record, cfg)):
            record, signs = found
            removed.update(count_blocks(signs))
            num_alone += 1
        most = cfg.max_doc_chars if isinstance(record, Doc) else cfg.max_chars
        fault = _no_definition(record) or next(
            (f for _, text in record.texts() if (f := _fault(text, cfg.min_letters, most))), None
        )
        yield Drop(record, *fault) if fault else Keep(record)
    return {"untranslated": num_alone, "removed": dict(removed)} if num_alone else {}


def _alone(pair: Pair, cfg: Config) -> tuple[Doc, str] | None:
    """The side that is a text, where nothing but signs stands on the other, and these."""
    first, second = pair.texts()
    for (code, text), (_, signs) in ((first, second), (second, first)):
        empty = (_fault(signs, cfg.min_letters, cfg.max_chars) or ("", ""))[0] in ("length.empty", "length.no_letters")
        if empty and not _fault(text, cfg.min_letters, cfg.max_chars):
            return Doc(pair.id, text, code, pair.origin, {**pair.meta, "untranslated": signs}), signs
    return None


def _no_definition(record: Record) -> tuple[str, str] | None:
    if isinstance(record, Entry) and not record.senses:
        return "length.no_definition", "the entry has no definition"
    return None


def _fault(text: str, least: int, most: int) -> tuple[str, str] | None:
    if not text.strip():
        return "length.empty", "a text is empty"
    if sum(map(str.isalpha, text)) < least:
        return "length.no_letters", f"'{text[:40]}' has fewer than {least} letters"
    if len(text) > most:
        return "length.too_long", f"{len(text):,} characters, limit {most:,}"
    return None
