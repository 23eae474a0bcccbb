"""Find the text that says the same: pairs whose sides shall lie near each other, as vectors for search."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from endonym.retrieve.context import Context
from endonym.types import Chat, Message, Pair, Record, record_id


class Config(BaseModel):
    """Settings of texts that say the same."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(1.0, ge=0, description="How often a row is seen per epoch; 0.5 is every second epoch.")
    both: bool = Field(
        True,
        description="Look for either side by the other; else, and where both are in one language, for the second by the first.",
    )


def compose(record: Record, cfg: Config, context: Context) -> Iterator[Chat]:
    """One chat a direction of a pair, in whatever languages: one side is given, the other is the answer."""
    if not isinstance(record, Pair) or not record.source.strip() or not record.target.strip():
        return
    there = (record.source_language, record.target_language, record.source, record.target)
    back = (record.target_language, record.source_language, record.target, record.source)
    # In one language both ways were one direction, and a text would be looked for among all of them, itself included.
    both = cfg.both and record.source_language != record.target_language
    for source_language, target_language, source, target in (there, back) if both else (there,):
        direction = f"{source_language}>{target_language}"
        yield Chat(
            id=record_id(record.id, "embed", direction),
            messages=(Message("user", source), Message("assistant", target)),
            origin=record.origin,
            task="embed",
            language=target_language,
            weight=cfg.weight,
            meta={"direction": direction, "record": record.id, "source": source},
        )
