"""Go on writing: plain text in the language, learned as it stands."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from endonym.retrieve.context import Context
from endonym.types import Chat, Doc, Message, Record, record_id


class Config(BaseModel):
    """Settings of the plain-text task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(0.5, ge=0, description="How often a row is seen per epoch; 0.5 is every second epoch.")
    every_language: bool = Field(
        False, description="Take text in whatever language, for a field and not for a language."
    )


def compose(record: Record, cfg: Config, context: Context) -> Iterator[Chat]:
    """One chat a paragraph, of the language itself where nothing else is asked for, with no prompt: the whole text is learned."""
    if not isinstance(record, Doc) or not (cfg.every_language or record.language == context.language):
        return
    yield Chat(
        id=record_id(record.id, "complete"),
        messages=(Message("assistant", record.text),),
        origin=record.origin,
        task="complete",
        language=record.language,
        weight=cfg.weight,
        meta={"direction": record.language, "record": record.id, "source": ""},
    )
