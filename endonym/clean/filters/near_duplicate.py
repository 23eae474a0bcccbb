"""Drop records that nearly repeat an earlier one, both sides of a pair alike; dictionary links pass to the one kept."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.clean.repeats import merged
from endonym.clean.texts import in_parallel
from endonym.types import Chat, Doc, Drop, Keep, Pair, Record


class Config(BaseModel):
    """Settings of the near-duplicate filter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(
        0.8, gt=0, le=1, description="Jaccard similarity of character 5-grams from which two texts are alike."
    )
    min_chars: int = Field(
        20, ge=0, description="A record with a shorter text stays: in short texts one letter is a difference."
    )


def sift(records: Iterable[Record], cfg: Config) -> Iterator[Keep | Drop]:
    """Keep the first of near-duplicates among pairs, chats and paragraphs. Dictionary entries and parallel documents stay.

    Each is compared with those kept, not with a chain of neighbours, so that a drop is always like something that stays. Texts
    with different numbers are not alike: a price list and a calendar repeat everything else.
    """
    everything = list(records)
    dropped: dict[int, tuple[int, float]] = {}
    for places, sides in _comparable(everything, cfg.min_chars):
        dropped.update(_repeats(places, sides, cfg.threshold))
    repeats = defaultdict(list)
    for place, (kept, likeness) in dropped.items():
        repeats[kept].append(everything[place])
        yield Drop(everything[place], "near_duplicate.similar", f"{likeness:.0%} like {everything[kept].origin}")
    for place, record in enumerate(everything):
        if place not in dropped:
            yield Keep(merged(record, repeats[place]) if place in repeats else record)


def _comparable(records: Sequence[Record], shortest: int) -> Iterator[tuple[list[int], list[tuple[str, ...]]]]:
    """Groups of records to compare with each other: (positions, the texts of each that must all be alike)."""
    found: dict[tuple[str, ...], tuple[list[int], list[tuple[str, ...]]]] = defaultdict(lambda: ([], []))
    for place, record in enumerate(records):
        kind: tuple[str, ...]
        sides: tuple[str, ...]
        if isinstance(record, Pair):
            kind, sides = ("pair", record.source_language, record.target_language), (record.source, record.target)
        elif isinstance(record, Chat) and len(record.messages) > 1:
            kind, sides = ("chat", "", ""), ("\n".join(m.content for m in record.prompt), record.answer)
        elif isinstance(record, Doc) and not in_parallel(record):
            kind, sides = ("doc", record.language, ""), (record.text,)
        else:
            continue
        if min(map(len, sides)) >= shortest:
            places, texts = found[kind]
            places.append(place)
            texts.append(sides)
    yield from found.values()


def _repeats(places: list[int], sides: list[tuple[str, ...]], threshold: float) -> dict[int, tuple[int, float]]:
    """Position -> (position of the earlier record it repeats, similarity of the less similar side)."""
    from endonym.data.near_dup import clusters, jaccard, normalise, shingles

    columns = [clusters(texts, threshold) for texts in zip(*sides)]
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for i, key in enumerate(zip(*columns)):
        groups[key, *map(_numbers, sides[i])].append(i)
    found = {}
    for members in groups.values():
        kept: list[tuple[int, list[frozenset[str]]]] = []
        for i in members if len(members) > 1 else ():
            grams = [shingles(normalise(text)) for text in sides[i]]
            best = max(((min(map(jaccard, grams, other)), j) for j, other in kept), default=(0.0, -1))
            if best[0] >= threshold:
                found[places[i]] = (places[best[1]], best[0])
            else:
                kept.append((i, grams))
    return found


def _numbers(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\d+", text))
