"""The turns of a conversation as JSON formats write them: lists of messages, or a question in fields of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from endonym.types import Message

ROLES = {
    "system": "system", "user": "user", "human": "user", "prompter": "user", "assistant": "assistant", "gpt": "assistant",
    "bot": "assistant", "model": "assistant", "chatgpt": "assistant",
}  # fmt: skip
LISTS = ("messages", "conversations", "conversation", "turns")
QUESTIONS = ("instruction", "prompt", "question", "query", "pregunta", "input")
EXTRAS = ("input", "context")


def listed(values: Mapping[str, Any]) -> tuple[Message, ...] | None:
    """The turns that stand in a list, after the system text that stands beside it; None without a list.

    Raises ValueError(what, repair).
    """
    turns = next((values[key] for key in LISTS if isinstance(values.get(key), list)), None)
    if turns is None:
        return None
    found = [turn(one, number) for number, one in enumerate(turns, 1)]
    return tuple(found) if found and found[0].role == "system" else (*_system(values), *found)


def asked(values: Mapping[str, Any], question: str) -> tuple[Message, ...]:
    """The question in the field of this name with what belongs to it, after the system text."""
    extras = [values[k] for k in EXTRAS if k != question and isinstance(values.get(k), str) and values[k].strip()]
    return (*_system(values), Message("user", "\n\n".join([str(values[question]), *extras])))


def _system(values: Mapping[str, Any]) -> tuple[Message, ...]:
    text = values.get("system")
    return (Message("system", text),) if isinstance(text, str) and text.strip() else ()


def turn(given: Any, number: int) -> Message:
    if isinstance(given, str):
        # Bare texts take turns, the person first.
        return Message("user" if number % 2 else "assistant", given)
    if not isinstance(given, dict):
        raise ValueError(f"turn {number} is not an object", 'write turns as {"role": "user", "content": "..."}')
    role = str(given.get("role") or given.get("from") or given.get("speaker") or "").lower()
    content = next((given[key] for key in ("content", "value", "text") if isinstance(given.get(key), str)), None)
    if isinstance(given.get("content"), list):
        pieces = [part.get("text", "") for part in given["content"] if isinstance(part, dict)]
        content = "\n".join(piece for piece in pieces if piece)
    if role not in ROLES or content is None:
        what = f"the role '{role}' is not known" if content is not None else "it has no text"
        raise ValueError(
            f"turn {number}: {what}", "roles are system, user and assistant (or human and gpt); the text is `content`"
        )
    return Message(ROLES[role], content)
