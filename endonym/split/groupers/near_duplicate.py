"""Keep texts together that are the same but for a few characters.

Pairs are compared on either side: the same Spanish under two translations gives the second away. Dictionary definitions are left
out, since short glosses are alike without being copies. This grouper has a `prepare`, because it must see all records at once:
`prepare(records, cfg)` returns a state, which `group(record, cfg, state)` is given as third argument.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from endonym.types import Record


class Config(BaseModel):
    """Settings of grouping near duplicates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(
        0.7, gt=0, le=1, description="Jaccard similarity of character 5-grams from which two texts are one."
    )


def prepare(records: Sequence[Record], cfg: Config) -> Mapping[str, list[str]]:
    """Compare all texts once; returns the clusters of each record by its id."""
    from endonym.data.leaks import examples
    from endonym.data.near_dup import clusters

    texts = [(record.id, text) for record in records for text in examples(record) if text]
    found: dict[str, list[str]] = defaultdict(list)
    for (identity, _), cluster in zip(texts, clusters([text for _, text in texts], cfg.threshold)):
        found[identity].append(str(cluster))
    return found


def group(record: Record, cfg: Config, state: Mapping[str, list[str]]) -> list[str]:
    """Numbers of the clusters that the texts of a record are in, and the names of those that cleaning found it in.

    Cleaning saw records that are gone since: two that stayed may be alike only through one that was dropped.
    """
    return [*state.get(record.id, []), *(f"clean\0{name}" for name in record.meta.get("clusters", ()))]
