"""What goes to a grader and comes back: a question, its answer as it was measured, and marks that say how they were found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from endonym.types import Message

NOTHING = "there is neither a reference nor a keyword"


@dataclass(frozen=True)
class Question:
    """One question, asked of every system alike."""

    id: str
    question: str
    messages: tuple[Message, ...]
    """The chat as it is rendered."""
    references: tuple[str, ...] = ()
    """Acceptable answers."""
    keywords: tuple[str, ...] = ()
    """What a full answer mentions: `a|b` for either, `stem*` for any word that begins so."""
    task: str = ""
    language: str = ""
    """Language of the answer, where it is known."""
    set: str = "general"
    """`general`, `language` or `own`."""


@dataclass(frozen=True)
class Answered:
    """An answer and what was measured around it."""

    question: Question
    text: str
    tokens: int
    seconds: float
    """From the prompt's ids to the last token."""
    first_token_seconds: float | None
    """Until the first token; None when there was none."""
    ended: bool
    """Whether the model ended the answer itself."""


@dataclass(frozen=True)
class Mark:
    """0 to 100 with the method, or None with the reason why there is no evidence."""

    value: float | None
    method: str = ""
    why: str = ""


@dataclass(frozen=True)
class Graded:
    """Marks of every answer by criterion, in the order of the answers, and what the grader says of itself."""

    marks: list[dict[str, Mark]]
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Grading:
    """What a grader knows beside the answers."""

    scripts: Mapping[str, tuple[str, ...]]
    """Scripts a language is written in, by its code."""
    project: Path = Path(".")
    """Folder from which files are named."""
