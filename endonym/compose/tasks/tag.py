"""Give every word of a sentence its tag: names, word classes, or whatever was tagged."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from endonym.retrieve.context import Context
from endonym.types import Chat, Doc, Message, Record, record_id


class Config(BaseModel):
    """Settings of tagged words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(1.0, ge=0, description="How often a row is seen per epoch; 0.5 is every second epoch.")


def compose(record: Record, cfg: Config, context: Context) -> Iterator[Chat]:
    """One chat a sentence with tags: its words are given, the answer is the tags in their order."""
    tags = record.meta.get("tags") if isinstance(record, Doc) else None
    if not isinstance(record, Doc) or not isinstance(tags, list) or not tags:
        return
    yield Chat(
        id=record_id(record.id, "tag"),
        messages=(Message("user", record.text), Message("assistant", " ".join(map(str, tags)))),
        origin=record.origin,
        task="tag",
        language=record.language,
        weight=cfg.weight,
        meta={"direction": record.language, "record": record.id, "source": record.text},
    )
