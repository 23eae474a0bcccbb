"""Record ids that stay the same when rows are added before or after, and differ when a text stands there twice."""

from __future__ import annotations

from collections import Counter

from endonym.types import record_id


class Ids:
    """Ids for the records of one file: a hash of the content, and for a repetition of the how-manieth it is."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def __call__(self, *content: str) -> str:
        first = record_id(*content)
        self._seen[first] += 1
        number = self._seen[first]
        return first if number == 1 else record_id(*content, f"repetition {number}")
