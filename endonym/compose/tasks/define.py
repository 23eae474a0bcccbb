"""Say what a headword means, in the words of the dictionary."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from endonym.retrieve.context import Context
from endonym.types import Chat, Entry, Message, Record, record_id


class Config(BaseModel):
    """Settings of the definition task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(0.25, ge=0, description="How often a row is seen per epoch; 0.25 is every fourth epoch.")
    longest: int = Field(
        300, ge=1, description="Longest definition, in characters; a longer one is left to the dictionary."
    )


def compose(record: Record, cfg: Config, context: Context) -> Iterator[Chat]:
    """One chat an entry, all its senses in one answer, numbered when there are several."""
    if not isinstance(record, Entry) or not record.senses:
        return
    definitions = [sense.definition for sense in record.senses]
    answer = definitions[0] if len(definitions) == 1 else "\n".join(f"{n}. {d}" for n, d in enumerate(definitions, 1))
    if not answer or len(answer) > cfg.longest:
        return
    names = {"source": context.name(record.language), "target": context.name(record.senses[0].language)}
    part = record.part_of_speech
    asked = context.prompt("define", "text_with_part" if part else "text", headword=record.headword, part=part, **names)
    messages = (
        Message("system", context.prompt("define", "system", **names)),
        Message("user", asked),
        Message("assistant", answer),
    )
    direction = f"{record.language}>{record.senses[0].language}"
    yield Chat(
        id=record_id(record.id, "define"),
        messages=messages,
        origin=record.origin,
        task="define",
        language=record.senses[0].language,
        weight=cfg.weight,
        meta={"direction": direction, "record": record.id, "source": record.headword},
    )
