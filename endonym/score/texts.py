"""What a training row says in each language, without the words of its prompt and its hints."""

from __future__ import annotations

from collections.abc import Sequence

from endonym.types import Chat


def texts(chat: Chat) -> list[tuple[str, str]]:
    """`(language, text)` of what is asked and of the answer; hints say what other rows say, and so are left out."""
    asked = str(chat.meta.get("source") or next((m.content for m in chat.prompt[::-1] if m.role == "user"), ""))
    language = str(chat.meta.get("direction", "")).partition(">")[0] or chat.language
    return [(where, text) for where, text in ((language, asked), (chat.language, chat.answer)) if text]


def whole(chat: Chat) -> str:
    """What is asked and what is answered as one text."""
    return "\n".join(text for _, text in texts(chat))


def distinct(chats: Sequence[Chat]) -> list[tuple[str, str]]:
    """Every `(language, text)` once, in the order met: a pair asked in both directions is no second occurrence."""
    return list(dict.fromkeys(item for chat in chats for item in texts(chat)))
