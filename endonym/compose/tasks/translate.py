"""Translate sentences in both directions, with the nearest known pairs and word translations as hints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ConfigDict, Field

from endonym.retrieve.context import Context
from endonym.retrieve.hints import Hints, Kind
from endonym.types import Chat, Message, Pair, Record, record_id


class Config(BaseModel):
    """Settings of the translation task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(1.0, ge=0, description="How often a row is seen per epoch; 0.5 is every second epoch.")
    hints: Kind = Field("both", description="Hints in the prompt: none, dictionary, memory or both.")
    num_pairs: int = Field(3, ge=0, description="Known pairs shown as hints.")
    num_glosses: int = Field(0, ge=0, description="Translations shown of each word; 0 shows the draft alone.")
    novelty: float = Field(
        0.6, ge=0, lt=1, description="How much a further hint should cover what earlier ones do not."
    )
    share_without: float = Field(
        0.2, ge=0, le=1, description="Share of training rows without hints, for use without an index."
    )


def compose(record: Record, cfg: Config, context: Context) -> Iterator[Chat]:
    """Two chats a pair, one per direction; a side that is empty is only asked for, never asked about.

    A made pair whose one side is not fit to be learned (`meta["direction"]`) is asked in that direction alone.
    """
    if not isinstance(record, Pair) or not record.between(context.language, context.pivot):
        return
    sides = (record.source_language, record.target_language)
    for source, target in (sides, sides[::-1]):
        text, answer = record.text(source), record.text(target)
        direction = f"{source}>{target}"
        if not text or record.meta.get("direction", direction) != direction:
            continue
        hints = context.hints(
            record, source, target, cfg.hints, cfg.share_without,
            num_pairs=cfg.num_pairs, num_glosses=cfg.num_glosses, novelty=cfg.novelty,
        )  # fmt: skip
        names = {"source": context.name(source), "target": context.name(target)}
        messages = [
            Message("system", context.prompt("translate", "system", **names)),
            *turns(text, hints, context),
        ]
        if answer:
            messages.append(Message("assistant", answer))
        yield Chat(
            id=record_id(record.id, "translate", direction),
            messages=tuple(messages),
            origin=record.origin,
            task="translate",
            language=target,
            weight=cfg.weight,
            meta={
                "direction": direction,
                "record": record.id,
                "source": text,
                "hints": bool(hints),
                "draft": hints.draft,
            },
        )


def turns(text: str, hints: Hints, context: Context) -> Iterator[Message]:
    """Known pairs as turns already answered, the nearest last, then what is asked.

    Each is asked alike, draft included, and so shows what becomes of a draft; training learns their answers too.
    """
    for pair in reversed(hints.pairs):
        yield Message("user", question(pair.source, pair.draft, (), context))
        yield Message("assistant", pair.target)
    yield Message("user", question(text, hints.draft, hints.words, context))


def question(text: str, draft: str, glossed: Sequence[tuple[str, Sequence[str]]], context: Context) -> str:
    """One user turn: the text and, where there are any, translations of its words and a draft."""
    parts = [context.prompt("translate", "text", text=text)]
    if glossed:
        listed = [context.prompt("translate", "word", word=w, translations=", ".join(best)) for w, best in glossed]
        parts.append(context.prompt("translate", "words", words="; ".join(listed)))
    if draft:
        parts.append(context.prompt("translate", "draft", draft=draft))
    return "\n".join(parts)
