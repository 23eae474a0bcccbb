"""Answer as the example conversations do: chats the user brought, learned as they stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pydantic import BaseModel, ConfigDict, Field

from endonym.retrieve.context import Context
from endonym.types import Chat, Record, record_id


class Config(BaseModel):
    """Settings of the conversation task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(1.0, ge=0, description="How often a row is seen per epoch; 0.5 is every second epoch.")


def compose(record: Record, cfg: Config, context: Context) -> Iterator[Chat]:
    """One chat a record that is a chat with an answer; the last assistant turn is learned, the turns before it are given."""
    if not isinstance(record, Chat) or not record.answer:
        return
    question = next((m.content for m in reversed(record.prompt) if m.role == "user"), "")
    meta = {**record.meta, "direction": record.language, "record": record.id, "source": question}
    yield replace(record, id=record_id(record.id, "chat"), task="chat", weight=record.weight * cfg.weight, meta=meta)
