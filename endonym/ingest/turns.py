"""The turns of a conversation as JSON formats write them: lists of messages, or a question in fields of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from endonym.ingest.nested import at
from endonym.types import Message

ROLES = {
    "system": "system", "user": "user", "human": "user", "prompter": "user", "assistant": "assistant", "gpt": "assistant",
    "bot": "assistant", "model": "assistant", "chatgpt": "assistant",
}  # fmt: skip
LISTS = ("messages", "conversations", "conversation", "turns")
QUESTIONS = ("instruction", "prompt", "question", "query", "pregunta", "input")
EXTRAS = ("input", "context")


@dataclass(frozen=True)
class Naming:
    """What a file calls the parts of a conversation, where it is not what most call them; fields by dotted path."""

    messages: str = ""
    role: str = ""
    content: str = ""
    roles: Mapping[str, str] = field(default_factory=dict)
    """Names of speakers -> `system`, `user` or `assistant`."""


def listed(values: Mapping[str, Any], naming: Naming = Naming()) -> tuple[Message, ...] | None:
    """The turns that stand in a list, after the system text that stands beside it; None without a list.

    Raises ValueError(what, repair).
    """
    lists = (naming.messages,) if naming.messages else LISTS
    turns = next((found for key in lists if isinstance(found := at(values, key), list)), None)
    if turns is None:
        return None
    found = [turn(one, number, naming) for number, one in enumerate(turns, 1)]
    return tuple(found) if found and found[0].role == "system" else (*_system(values), *found)


def asked(values: Mapping[str, Any], question: str) -> tuple[Message, ...]:
    """The question in the field of this name with what belongs to it, after the system text."""
    extras = [values[k] for k in EXTRAS if k != question and isinstance(values.get(k), str) and values[k].strip()]
    return (*_system(values), Message("user", "\n\n".join([str(at(values, question)), *extras])))


def _system(values: Mapping[str, Any]) -> tuple[Message, ...]:
    text = values.get("system")
    return (Message("system", text),) if isinstance(text, str) and text.strip() else ()


def turn(given: Any, number: int, naming: Naming = Naming()) -> Message:
    """One turn; bare texts take turns, the person first. Raises ValueError(what, repair)."""
    if isinstance(given, str):
        return Message("user" if number % 2 else "assistant", given)
    if not isinstance(given, dict):
        raise ValueError(f"turn {number} is not an object", 'write turns as {"role": "user", "content": "..."}')
    speakers = (naming.role,) if naming.role else ("role", "from", "speaker")
    said = next((str(found) for key in speakers if (found := at(given, key))), "")
    role = naming.roles.get(said) or ROLES.get(said.lower(), "")
    texts = (naming.content,) if naming.content else ("content", "value", "text")
    content = next((found for key in texts if isinstance(found := at(given, key), str)), None)
    if isinstance(given.get("content"), list):
        pieces = [part.get("text", "") for part in given["content"] if isinstance(part, dict)]
        content = "\n".join(piece for piece in pieces if piece)
    if role not in ROLES or content is None:
        what = f"the role '{said}' is not known" if content is not None else "it has no text"
        raise ValueError(
            f"turn {number}: {what}",
            "roles are system, user and assistant (or human and gpt) and the text is `content`; else name them in the"
            " settings: role, content, roles",
        )
    return Message(ROLES[role], content)
