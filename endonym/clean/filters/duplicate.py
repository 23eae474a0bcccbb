"""Drop records that say word for word what an earlier one says; its dictionary links pass to the one kept."""

from __future__ import annotations

from array import array
from collections.abc import Generator, Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.clean.repeats import Links, content, key_of, source_of
from endonym.clean.spool import Spool
from endonym.clean.texts import in_parallel
from endonym.types import Drop, Keep, Pair, Record

UNTRANSLATED = -1


class Config(BaseModel):
    """Settings of the duplicate filter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_copied_chars: int = Field(
        30,
        ge=0,
        description="A pair whose two sides are the same text goes when it is longer than this; names are shorter.",
    )


def sift(records: Iterable[Record], cfg: Config) -> Generator[Keep | Drop, None, dict[str, Any]]:
    """Keep the first of records that are equal but for case, punctuation and spaces, and pairs that are translated.

    Paragraphs of parallel documents all stay, so that both sides keep their order. The records wait on disk: the one kept
    takes over the links of those that come later, and the names of the other sources that have it.
    """
    first: dict[int, int] = {}
    place_of = array("q")
    links: dict[int, Links] = {}
    with Spool() as spool:
        for place, record in enumerate(spool.through(records)):
            if isinstance(record, Pair) and _copied(record, cfg.max_copied_chars):
                place_of.append(UNTRANSLATED)
                continue
            # 64 bits of it: among ten million records, two different ones are taken for equal once in 400,000 runs.
            found = place if in_parallel(record) else first.setdefault(hash(content(record)), place)
            place_of.append(found)
            if found != place:
                links.setdefault(found, Links()).add(record)
        del first
        origins: dict[int, str] = {}
        across = 0
        for place, record in enumerate(spool):
            kept = place_of[place]
            if kept == UNTRANSLATED:
                yield Drop(record, "duplicate.untranslated", "both sides are the same text")
            elif kept != place:
                across += source_of(origins[kept]) != source_of(record.origin)
                yield Drop(record, "duplicate.exact", f"says the same as {origins[kept]}")
            elif place in links:
                origins[place] = record.origin
                yield Keep(links[place].merged(record))
            else:
                yield Keep(record)
    return {"in_another_source": across} if across else {}


def _copied(pair: Pair, longest: int) -> bool:
    return len(pair.source) > longest and key_of(pair.source) == key_of(pair.target)
