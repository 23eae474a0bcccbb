"""Give the word for a word, in both directions."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.glosses import glosses
from endonym.retrieve.context import Context
from endonym.types import Chat, Entry, Message, Record, record_id


class Config(BaseModel):
    """Settings of the look-up task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(0.25, ge=0, description="How often a row is seen per epoch; 0.25 is every fourth epoch.")
    back: bool = Field(True, description="Also ask for the headword of a gloss.")


def compose(record: Record, cfg: Config, context: Context) -> Iterator[Chat]:
    """One chat from the headword to its glosses, and one back from the first gloss."""
    if not isinstance(record, Entry) or not record.senses:
        return
    language = record.senses[0].language
    found = list(dict.fromkeys(g for sense in record.senses for g in glosses(sense.definition)))
    if not found:
        return
    yield _chat(record, cfg, context, record.headword, found, record.language, language)
    if cfg.back:
        yield _chat(record, cfg, context, found[0], [record.headword], language, record.language)


def _chat(
    record: Entry, cfg: Config, context: Context, asked: str, answers: list[str], source: str, target: str
) -> Chat:
    names = {"source": context.name(source), "target": context.name(target)}
    direction = f"{source}>{target}"
    return Chat(
        id=record_id(record.id, "lookup", direction),
        messages=(
            Message("system", context.prompt("lookup", "system", **names)),
            Message("user", context.prompt("lookup", "text", word=asked, **names)),
            Message("assistant", answers[0]),
        ),
        origin=record.origin,
        task="lookup",
        language=target,
        weight=cfg.weight,
        meta={"direction": direction, "record": record.id, "source": asked, "accepted": answers},
    )
