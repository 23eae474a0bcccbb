"""Keep an entry and all its example sentences together, so that a test word was never seen in training.

An example that stands under several headwords joins them.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from endonym.data.leaks import headwords
from endonym.types import Entry, Record


class Config(BaseModel):
    """Settings of grouping by headword."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def group(record: Record, cfg: Config) -> list[str]:
    """Keys of the headwords and entries of a record."""
    entries = [record.id] if isinstance(record, Entry) else record.meta.get("entries", [record.meta.get("entry")])
    return [*headwords(record), *(f"entry\0{ident}" for ident in entries if ident)]
