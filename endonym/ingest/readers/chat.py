"""Read conversations and instructions from JSONL, JSON or a table: messages, ShareGPT, Alpaca, prompt and response."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym.errors import Problem
from endonym.ingest.ids import Ids
from endonym.ingest.nested import at, paths
from endonym.ingest.table import Bad, Row, rows, usable
from endonym.ingest.turns import EXTRAS, LISTS, QUESTIONS, Naming, asked, listed
from endonym.types import Chat, Drop, Message, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".jsonl", ".json", ".csv", ".tsv")
ABOUT = ("category", "topic")
"""Fields that are kept with a conversation."""
ANSWERS = ("output", "response", "completion", "answer", "chosen", "respuesta", "target")


class Config(BaseModel):
    """Settings of reading conversations."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language of the answers; the project's when empty.")
    prompt: str = Field(
        "", description="Field with the prompt, or its path (data.question); found by its name when empty."
    )
    response: str = Field("", description="Field with the response, or its path; found by its name when empty.")
    messages: str = Field("", description="Field with the list of turns, or its path; found by its name when empty.")
    role: str = Field("", description="Field of a turn that says who speaks; found by its name when empty.")
    content: str = Field(
        "", description="Field of a turn with what is said, or its path; found by its name when empty."
    )
    roles: dict[str, str] = Field({}, description="Names of further speakers: system, user or assistant for each.")
    items: str = Field(
        "", description="Path of the list of objects in a JSON file, such as data.items; found when empty."
    )
    encoding: str = Field("", description="Encoding of the file; found when empty.")
    bad_rows: Literal["error", "ledger"] = Field(
        "error", description="What a malformed row does: stop with the list of all, or go to the ledger."
    )


def sniff(sample: Sample) -> float:
    """High where the fields are those of a known conversation format."""
    rows_seen = sample.rows[:50]
    if not rows_seen:
        return 0.0
    good = sum(1 for row in rows_seen if any(isinstance(row.get(key), list) for key in LISTS) or _fields(row, Config()))
    return 0.95 * good / len(rows_seen)


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Chat` for every conversation that ends with an answer; what comes after the last answer is left out."""
    ids = Ids()
    for row in usable(_checked(path, cfg), cfg.bad_rows, "chat"):
        if isinstance(row, Drop):
            yield row
            continue
        messages = row.values["messages"]
        origin = f"{path.name}:{row.line}"
        last = max((i for i, m in enumerate(messages) if m.role == "assistant"), default=-1)
        ident = ids("chat", *(f"{m.role}: {m.content}" for m in messages))
        chat = Chat(ident, messages[: last + 1] or messages, origin, "chat", cfg.language, 1.0, row.values["meta"])
        if last < 1 or not chat.answer.strip():
            yield Drop(chat, "chat.no_answer", "it has no answer after a question")
            continue
        yield chat
        if messages[last + 1 :]:
            rest = Chat(ids("rest", chat.id), messages[last + 1 :], origin, "chat", cfg.language)
            yield Drop(rest, "chat.after_last_answer", "turns that no answer follows")


def _checked(path: Path, cfg: Config) -> Iterator[Row | Bad]:
    for row in rows(path, cfg.encoding, items=cfg.items):
        if isinstance(row, Bad):
            yield row
            continue
        try:
            messages = _messages(row.values, cfg)
        except ValueError as error:
            what, repair = error.args
            yield Bad(Problem(path.name, row.line, "", what, repair), str(row.values))
            continue
        meta = {key: row.values[key] for key in ABOUT if isinstance(row.values.get(key), str)}
        yield Row(row.line, {"messages": messages, "meta": meta})


def _messages(values: dict[str, Any], cfg: Config) -> tuple[Message, ...]:
    """The turns of one object; raises ValueError(what, repair) when it has none."""
    naming = Naming(cfg.messages, cfg.role, cfg.content, cfg.roles)
    turns = None if cfg.prompt else listed(values, naming)
    if turns is not None:
        return turns
    fields = _fields(values, cfg)
    if fields is None:
        known = ", ".join(f"'{key}'" for key in paths(values))
        raise ValueError(
            f"no prompt and response among its fields: {known}",
            'name them in the settings: prompt = "...", response = "..."',
        )
    question, answer = fields
    return (*asked(values, question), Message("assistant", str(at(values, answer))))


def _fields(values: dict[str, Any], cfg: Config) -> tuple[str, str] | None:
    """Names of the fields with the question and the answer."""
    lower = {key.lower(): key for key, value in values.items() if isinstance(value, str)}
    question = cfg.prompt or next((lower[key] for key in QUESTIONS if key in lower), "")
    answer = cfg.response or next((lower[key] for key in ANSWERS if key in lower and lower[key] != question), "")
    both = at(values, question) is not None and at(values, answer) is not None
    return (question, answer) if question and answer and both else None


def fields_read(sample: Sample, cfg: Config) -> set[str]:
    """The fields whose texts are in the records."""
    found = (
        {"system", *ABOUT, *LISTS, cfg.messages}
        if any(key in sample.columns for key in LISTS)
        else {"system", *ABOUT, *EXTRAS}
    )
    return found.union(*(_fields(row, cfg) or () for row in sample.rows[:50]))
