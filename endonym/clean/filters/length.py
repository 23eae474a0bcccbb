"""Drop records with no letters, with an empty side, or too long to be what they say they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import BaseModel, ConfigDict, Field

from endonym.types import Doc, Drop, Entry, Keep, Record


class Config(BaseModel):
    """Settings of the length filter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_letters: int = Field(
        1, ge=0, description="Letters every text of a record must have; headwords may be one letter."
    )
    max_chars: int = Field(10_000, ge=1, description="Characters one side of a pair, a definition or a turn may have.")
    max_doc_chars: int = Field(50_000, ge=1, description="Characters a paragraph of a document may have.")


def sift(records: Iterable[Record], cfg: Config) -> Iterator[Keep | Drop]:
    """Keep records whose every text has letters and a bearable length; an entry must have a definition."""
    for record in records:
        most = cfg.max_doc_chars if isinstance(record, Doc) else cfg.max_chars
        fault = _no_definition(record) or next(
            (f for _, text in record.texts() if (f := _fault(text, cfg.min_letters, most))), None
        )
        yield Drop(record, *fault) if fault else Keep(record)


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
