"""Headers, footers and page numbers of a book: lines at the edge of a page that come again on the pages around it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from endonym.ingest.layout import Line, rows_of

EDGE_ROWS = 3
"""Rows from the top and from the foot of a page that may belong to the page rather than to the text."""
NEAR = 8.0
"""How far apart, in points, a line may stand on two pages and still be the same one."""
APART = 1.15
"""Distance of a running line from the text, in usual distances from row to row."""
LEAST_PAGES = 2
"""Other pages around that must have the line; 1 in a document of three pages or fewer."""
_ROMAN = re.compile(r"(?=[ivxlc])(c{0,3})(xc|xl|l?x{0,3})(ix|iv|v?i{0,3})", re.I)


@dataclass(frozen=True)
class Edge:
    """A row at the edge of a page."""

    words: tuple[str, ...]
    """Its text cut at numbers, white space folded."""
    numbers: tuple[int, ...]
    y: float
    lines: tuple[Line, ...]

    @property
    def bare(self) -> bool:
        """Whether it is a number with nothing but marks around it."""
        return len(self.numbers) == 1 and not any(char.isalpha() for word in self.words for char in word)


@dataclass
class Page:
    """What is kept of a page until the pages around it have been seen."""

    number: int
    lines: list[Line]
    top: list[Edge] = field(default_factory=list)
    foot: list[Edge] = field(default_factory=list)
    scan: bool = False
    unreadable: bool = False
    """Whether its font does not say which characters its shapes are."""
    damaged: str = ""
    """Why nothing of it can be read, when that is so."""
    odd: list[str] = field(default_factory=list)
    """Texts that do not run from left to right or right to left, such as a title along the edge."""

    controls: str = ""
    """Control characters, which stand for no letter."""
    num_rows: int = 0
    step: float = 0.0
    """The usual distance from row to row."""

    def __post_init__(self) -> None:
        rows = rows_of(self.lines)
        self.num_rows = len(rows)
        steps = sorted(a[0].base - b[0].base for a, b in pairwise(rows))
        self.step = steps[len(steps) // 2] if steps else 0.0
        self.top = [_edge(row) for row in rows[: EDGE_ROWS + 1]]
        self.foot = [_edge(row) for row in rows[: -EDGE_ROWS - 2 : -1]]


def running(page: Page, around: Sequence[Page], num_pages: int) -> dict[Line, tuple[str, str]]:
    """Lines of a page that are header, footer or page number, each with the reason and on which pages it stands too."""
    found: dict[Line, tuple[str, str]] = {}
    least = LEAST_PAGES if num_pages > 3 else 1
    for name in ("top", "foot"):
        edges = getattr(page, name)
        here: dict[Line, tuple[str, str]] = {}
        for number, edge in enumerate(edges[:EDGE_ROWS]):
            # Pages that have nothing but this line show nothing: it may be all they say.
            same = [other.number for other in around if other is not page and other.num_rows > number + 1
                    and any(_same(edge, one, other.number - page.number) for one in getattr(other, name))]  # fmt: skip
            own = edge.bare and edge.numbers[0] == page.number
            if len(same) < (1 if edge.bare else least) and not own:
                # What stands further in belongs to the text when this does.
                found.update(here)
                break
            reason = "page_number" if edge.bare else "running_header" if name == "top" else "running_footer"
            pages = ", ".join(map(str, same[:4]))
            detail = f"page {page.number}" + (f"; also on {pages}" if pages else "")
            here.update(dict.fromkeys(edge.lines, (reason, detail)))
            inner = edges[number + 1] if number + 1 < len(edges) else None
            # Where all lines come again, so does the text: what runs above or below it stands apart from it.
            if edge.bare or inner is None or abs(edge.y - inner.y) > APART * page.step:
                found.update(here)
    return found


def _edge(row: Sequence[Line]) -> Edge:
    text = " ".join(" ".join(line.text for line in row).split())
    bare = re.sub(r"[^\w]", "", text)
    if bare and _ROMAN.fullmatch(bare):
        return Edge((re.sub(r"\w+", "", text),), (_roman(bare.lower()),), row[0].base, tuple(row))
    words = tuple(re.split(r"\d+", text))
    return Edge(words, tuple(int(number) for number in re.findall(r"\d+", text)[:9]), row[0].base, tuple(row))


def _same(one: Edge, other: Edge, apart: int) -> bool:
    """Whether two rows say the same; a number may count the pages between them."""
    if one.words != other.words or abs(one.y - other.y) > NEAR or len(one.numbers) != len(other.numbers):
        return False
    steps = [b - a for a, b in zip(one.numbers, other.numbers)]
    if one.bare:
        return steps == [apart]
    return all(step in (0, apart) for step in steps)


def _roman(text: str) -> int:
    values = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}
    digits = [values[char] for char in text]
    return sum(-a if a < b else a for a, b in zip(digits, [*digits[1:], 0]))
