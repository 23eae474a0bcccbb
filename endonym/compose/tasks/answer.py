"""Find the answer to a question in a text: the words of the text that answer it."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from endonym.retrieve.context import Context
from endonym.types import Chat, Doc, Message, Record, record_id


class Config(BaseModel):
    """Settings of answers found in texts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(1.0, ge=0, description="How often a row is seen per epoch; 0.5 is every second epoch.")


def compose(record: Record, cfg: Config, context: Context) -> Iterator[Chat]:
    """One chat a question: text and question are given, the first answer is learned and the others are accepted."""
    if not isinstance(record, Doc):
        return
    for number, asked in enumerate(record.meta.get("questions") or ()):
        answers = [str(answer["text"]) for answer in asked["answers"]]
        if not answers:
            continue
        prompt = f"{record.text}\n\n{asked['question']}"
        yield Chat(
            id=record_id(record.id, "answer", str(number)),
            messages=(Message("user", prompt), Message("assistant", answers[0])),
            origin=record.origin,
            task="answer",
            language=record.language,
            weight=cfg.weight,
            meta={
                "direction": record.language, "record": record.id, "source": prompt, "context": record.text,
                "question": asked["question"], "start": asked["answers"][0]["start"], "accepted": answers[1:],
            },
        )  # fmt: skip
