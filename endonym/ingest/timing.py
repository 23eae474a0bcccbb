"""Pair texts that stand in time: cues and annotations of two languages are one bead where they are said together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from endonym.data.union_find import UnionFind

TOGETHER = (0.5, 0.75)
"""Share of the shorter of two texts that must fall into the other; the second is for chains that grow too long with the first."""
MOST = 6
"""Texts of one side in a bead from which it is taken for a chain and cut again."""
GRID = 0.2
"""Seconds; two beginnings this near are the same."""
FARTHEST = 120.0
"""Seconds by which one film may begin later than the other."""
SPEEDS = (1.0, 25 / 23.976, 23.976 / 25, 25 / 24, 24 / 25)
"""Frame rates that films are turned into: cinema 24, NTSC 23.976, PAL 25."""


@dataclass(frozen=True)
class Span:
    """A text with its time in seconds and its line in the file."""

    start: float
    end: float
    text: str
    line: int
    speaker: str = ""


@dataclass(frozen=True)
class Bead:
    """Positions on both sides that are said together; either may be empty."""

    source: tuple[int, ...]
    target: tuple[int, ...]
    confidence: float
    """Time shared by both sides over time taken by either (Tiedemann 2007 ranks subtitle files by it)."""


def beads(source: Sequence[Span], target: Sequence[Span]) -> Iterator[Bead]:
    """Every text of both sides in exactly one bead, in order of time.

    Texts are linked where at least half of the shorter falls into the longer, and what hangs together is a bead
    (after Tiedemann, Improved Sentence Alignment for Movie Subtitles, RANLP 2007).
    """
    links = list(_links(source, target))
    left, right = list(range(len(source))), list(range(len(target)))
    groups = _components(left, right, [link[:2] for link in links if link[2] >= TOGETHER[0]])
    found = []
    for one, other in groups:
        if max(len(one), len(other)) > MOST:
            inside, there = set(one), set(other)
            near = [(i, j) for i, j, share in links if i in inside and j in there and share >= TOGETHER[1]]
            found += _components(one, other, near)
        else:
            found.append((one, other))
    made = [Bead(tuple(one), tuple(other), _shared(source, target, one, other)) for one, other in found]
    yield from sorted(made, key=lambda b: source[b.source[0]].start if b.source else target[b.target[0]].start)


def moved(spans: Sequence[Span], offset: float, speed: float) -> list[Span]:
    """The same texts on another clock."""
    return [replace(span, start=span.start * speed + offset, end=span.end * speed + offset) for span in spans]


def clock(source: Sequence[Span], target: Sequence[Span]) -> tuple[float, float]:
    """Seconds to add to the times of `target`, and the speed to multiply them with first, so that both begin together.

    `(0, 1)` unless another clock makes half as many more texts begin at once, and at least a third of all.
    """
    if not source or not target:
        return 0.0, 1.0
    steps = int(FARTHEST / GRID)
    one = _beginnings(source, 1.0)
    one |= one << 1 | one >> 1
    as_it_is = (one & _beginnings(target, 1.0)).bit_count()
    best = (max(1.5 * as_it_is, min(len(source), len(target)) / 3), 0.0, 1.0)
    for speed in SPEEDS:
        other = _beginnings(target, speed)
        for step in range(-steps, steps + 1):
            both = one & (other << step if step >= 0 else other >> -step)
            if both.bit_count() > best[0]:
                best = (both.bit_count(), step * GRID, speed)
    return best[1], best[2]


def _beginnings(spans: Sequence[Span], speed: float) -> int:
    """One bit a grid point, set where a text begins: a shift and a population count compare two files at once."""
    places = bytearray(int(max(span.start for span in spans) * speed / GRID) // 8 + 1)
    for span in spans:
        place = int(max(span.start, 0.0) * speed / GRID)
        places[place >> 3] |= 1 << (place & 7)
    return int.from_bytes(places, "little")


def _links(source: Sequence[Span], target: Sequence[Span]) -> Iterator[tuple[int, int, float]]:
    """Texts that overlap, with the share of the shorter that is in the longer."""
    order = sorted(range(len(target)), key=lambda j: target[j].start)
    longest = max((span.end - span.start for span in target), default=0.0)
    first = 0
    for i in sorted(range(len(source)), key=lambda i: source[i].start):
        one = source[i]
        while first < len(order) and target[order[first]].start < one.start - longest:
            first += 1
        for j in order[first:]:
            other = target[j]
            if other.start >= one.end and other.start > one.start:
                break
            shorter = min(one.end - one.start, other.end - other.start)
            both = min(one.end, other.end) - max(one.start, other.start)
            if shorter <= 0:
                # A point in time belongs to what it falls into.
                if both >= 0:
                    yield i, j, 1.0
            elif both > 0:
                yield i, j, both / shorter


def _components(
    left: Sequence[int], right: Sequence[int], links: Sequence[tuple[int, int]]
) -> list[tuple[list[int], list[int]]]:
    base = max(left, default=-1) + 1
    joined = UnionFind(base + max(right, default=-1) + 1)
    for i, j in links:
        joined.join(i, base + j)
    groups: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for i in left:
        groups[joined.find(i)][0].append(i)
    for j in right:
        groups[joined.find(base + j)][1].append(j)
    return list(groups.values())


def _shared(source: Sequence[Span], target: Sequence[Span], one: Sequence[int], other: Sequence[int]) -> float:
    if not one or not other:
        return 0.0
    first, second = _union([source[i] for i in one]), _union([target[j] for j in other])
    both = sum(max(0.0, min(b, d) - max(a, c)) for a, b in first for c, d in second)
    either = sum(b - a for a, b in first) + sum(d - c for c, d in second) - both
    return both / either if either > 0 else 1.0


def _union(spans: Sequence[Span]) -> list[tuple[float, float]]:
    out: list[tuple[float, float]] = []
    for span in sorted(spans, key=lambda s: s.start):
        if out and span.start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], span.end))
        else:
            out.append((span.start, span.end))
    return out
