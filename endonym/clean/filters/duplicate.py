"""Drop records that say word for word what an earlier one says; its dictionary links pass to the one kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import BaseModel, ConfigDict, Field

from endonym.clean.repeats import content, key_of, merged
from endonym.clean.texts import in_parallel
from endonym.types import Drop, Keep, Pair, Record


class Config(BaseModel):
    """Settings of the duplicate filter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_copied_chars: int = Field(
        30,
        ge=0,
        description="A pair whose two sides are the same text goes when it is longer than this; names are shorter.",
    )


def sift(records: Iterable[Record], cfg: Config) -> Iterator[Keep | Drop]:
    """Keep the first of records that are equal but for case, punctuation and spaces, and pairs that are translated.

    Paragraphs of parallel documents all stay, so that both sides keep their order. The records are held in memory: the one
    kept takes over the links of those that come later.
    """
    first: dict[tuple[str, ...], int] = {}
    kept: list[Record] = []
    repeats: dict[int, list[Record]] = {}
    for record in records:
        if isinstance(record, Pair) and _copied(record, cfg.max_copied_chars):
            yield Drop(record, "duplicate.untranslated", "both sides are the same text")
            continue
        place = len(kept) if in_parallel(record) else first.setdefault(content(record), len(kept))
        if place == len(kept):
            kept.append(record)
        else:
            repeats.setdefault(place, []).append(record)
            yield Drop(record, "duplicate.exact", f"says the same as {kept[place].origin}")
    for place, record in enumerate(kept):
        yield Keep(merged(record, repeats[place]) if place in repeats else record)


def _copied(pair: Pair, longest: int) -> bool:
    return len(pair.source) > longest and key_of(pair.source) == key_of(pair.target)
