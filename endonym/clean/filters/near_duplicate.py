"""Drop records that nearly repeat an earlier one, both sides of a pair alike; dictionary links pass to the one kept.

What stays but is like another record, or has a side that is, is given the name of their cluster in `meta["clusters"]`: the same verse
in three books is three records when its translations differ, and `split` keeps them on one side.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.clean.repeats import Links, source_of
from endonym.clean.spool import Spool
from endonym.clean.texts import in_parallel
from endonym.types import Chat, Doc, Drop, Keep, Pair, Record, record_id

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from endonym.data.near_dup import Clusters

Dropped = dict[int, tuple[int, float]]
"""Place of a record -> (place of the earlier one it repeats, similarity of the less similar side)."""


class Config(BaseModel):
    """Settings of the near-duplicate filter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(
        0.8, gt=0, le=1, description="Jaccard similarity of character 5-grams from which two texts are alike."
    )
    min_chars: int = Field(
        20, ge=0, description="A record with a shorter text stays: in short texts one letter is a difference."
    )


@dataclass
class Compared:
    """Records of one kind and language: their places, their numbers, and the clusters of each side."""

    sides: list[Clusters]
    places: array[int] = field(default_factory=lambda: array("q"))
    numbers: array[int] = field(default_factory=lambda: array("q"))
    stays: array[int] = field(default_factory=lambda: array("b"))


def sift(records: Iterable[Record], cfg: Config) -> Generator[Keep | Drop, None, dict[str, Any]]:
    """Keep the first of near-duplicates among pairs, chats and paragraphs. Dictionary entries and parallel documents stay.

    Each is compared with those kept, not with a chain of neighbours, so that a drop is always like something that stays. Texts
    with different numbers are not alike: a price list and a calendar repeat everything else.
    """
    with Spool() as spool:
        dropped: Dropped = {}
        roots: dict[int, list[tuple[int, int]]] = {}
        for compared in _compared(spool.through(records), cfg):
            columns = [side.groups() for side in compared.sides]
            dropped.update(_repeats(compared, columns, cfg.threshold))
            _link(compared.places, columns, roots)
        links, origins = _taken_over(spool, dropped) if dropped else ({}, {})
        names: dict[tuple[int, int], str] = {}
        across = 0
        for place, record in enumerate(spool):
            sides = _sides(record)
            named = [
                names.setdefault(root, record_id("cluster", sides[root[1]]) if root[0] == place else "")
                for root in roots.get(place, ())
            ]
            if place in dropped:
                kept, likeness = dropped[place]
                across += source_of(origins[kept]) != source_of(record.origin)
                yield Drop(record, "near_duplicate.similar", f"{likeness:.0%} like {origins[kept]}")
                continue
            if place in links:
                record = links[place].merged(record)
            if named:
                record = replace(record, meta={**record.meta, "clusters": sorted(set(named))})
            yield Keep(record)
    return {"clusters": len(names), "in_another_source": across} if names else {}


def _sides(record: Record) -> tuple[str, ...]:
    """Texts of a record that must all be alike; none when it is not compared."""
    if isinstance(record, Pair):
        return record.source, record.target
    if isinstance(record, Chat) and len(record.messages) > 1:
        return "\n".join(m.content for m in record.prompt), record.answer
    return (record.text,) if isinstance(record, Doc) else ()


def _compared(records: Iterable[Record], cfg: Config) -> Iterator[Compared]:
    """All records that are compared, by what they are compared with."""
    from endonym.data.near_dup import Clusters

    found: dict[tuple[str, ...], Compared] = {}
    for place, record in enumerate(records):
        sides = _sides(record)
        if not sides or min(map(len, sides)) < cfg.min_chars:
            continue
        languages = [code for code, _ in record.texts()] if not isinstance(record, Chat) else []
        key = (record.kind, *languages)
        if key not in found:
            found[key] = Compared([Clusters(cfg.threshold) for _ in sides])
        compared = found[key]
        compared.places.append(place)
        compared.numbers.append(hash(tuple(tuple(re.findall(r"\d+", text)) for text in sides)))
        compared.stays.append(in_parallel(record))
        for side, text in zip(compared.sides, sides):
            side.add(text)
    yield from found.values()


def _repeats(compared: Compared, columns: list[NDArray[np.int64]], threshold: float) -> Dropped:
    """What is dropped: in rounds, the first of each group that is still open stays, and all that are like it go."""
    import numpy as np

    _, group = np.unique(compared.numbers, return_inverse=True)
    for column in columns:
        _, group = np.unique(group * len(group) + column, return_inverse=True)
    alone = np.asarray(compared.stays, dtype=bool)
    rest = np.flatnonzero((np.bincount(group[~alone], minlength=len(group))[group] > 1) & ~alone)
    found: Dropped = {}
    while len(rest):
        _, first = np.unique(group[rest], return_index=True)
        leader_of = np.zeros(group.max() + 1, np.int64)
        leader_of[group[rest[first]]] = rest[first]
        others = np.delete(rest, first)
        leaders = leader_of[group[others]]
        likeness = np.min([side.similarity(leaders, others) for side in compared.sides], axis=0)
        for i in np.flatnonzero(likeness >= threshold).tolist():
            found[compared.places[others[i]]] = (compared.places[leaders[i]], float(likeness[i]))
        rest = others[likeness < threshold]
    return found


def _link(places: array[int], columns: list[NDArray[np.int64]], roots: dict[int, list[tuple[int, int]]]) -> None:
    """Note for each record the clusters its sides are in, each by the place and side of its first text."""
    import numpy as np

    for side, column in enumerate(columns):
        linked = np.flatnonzero(np.bincount(column)[column] > 1)
        for i, root in zip(linked.tolist(), column[linked].tolist()):
            roots.setdefault(places[i], []).append((places[root], side))


def _taken_over(spool: Spool, dropped: Dropped) -> tuple[dict[int, Links], dict[int, str]]:
    """By the place of what stays: the links of what goes, and where what stays stands."""
    links: dict[int, Links] = {}
    origins = dict.fromkeys((kept for kept, _ in dropped.values()), "")
    for place, record in enumerate(spool):
        if place in dropped:
            links.setdefault(dropped[place][0], Links()).add(record)
        elif place in origins:
            origins[place] = record.origin
    return links, origins
