"""The frozen shapes that flow through every stage: documents, pairs, dictionary entries, chats, scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar


def record_id(*parts: str) -> str:
    """Return a stable 16-hex-digit id for the given strings (SHA-256 of their JSON, shortened)."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Doc:
    """One running text in one language: a paragraph, an article, a page."""

    kind: ClassVar[str] = "doc"
    id: str
    text: str
    language: str
    origin: str
    """Where it came from, as `file:line` relative to the project folder."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Standard keys: `document` (name shared by all parts of one document), `part` (order inside it), and the rights
    of its source: `licence`, `attribution`, `consent`, `restrictions` (list)."""

    def texts(self) -> tuple[tuple[str, str], ...]:
        """Every user text with its language: `((language, text), ...)`."""
        return ((self.language, self.text),)


@dataclass(frozen=True)
class Pair:
    """The same thing said in two languages."""

    kind: ClassVar[str] = "pair"
    id: str
    source: str
    target: str
    source_language: str
    target_language: str
    origin: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Standard keys: `headwords` (list), `entry`, `document`, `confidence` (0 to 1), and rights as in `Doc`."""

    def texts(self) -> tuple[tuple[str, str], ...]:
        return ((self.source_language, self.source), (self.target_language, self.target))

    def text(self, language: str) -> str:
        """The side in `language`; raises KeyError when the pair has no such side."""
        if language == self.source_language:
            return self.source
        if language == self.target_language:
            return self.target
        raise KeyError(language)

    def between(self, first: str, second: str) -> tuple[str, str] | None:
        """The sides in these two languages, in this order; None when the pair is of others."""
        if {self.source_language, self.target_language} != {first, second}:
            return None
        return self.text(first), self.text(second)


@dataclass(frozen=True)
class Sense:
    """One meaning of a dictionary entry, described in `language`."""

    definition: str
    language: str


@dataclass(frozen=True)
class Entry:
    """One dictionary entry. Its example sentences are `Pair`s whose `meta["entry"]` is this entry's id."""

    kind: ClassVar[str] = "entry"
    id: str
    headword: str
    language: str
    senses: tuple[Sense, ...]
    origin: str
    part_of_speech: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)

    def texts(self) -> tuple[tuple[str, str], ...]:
        return ((self.language, self.headword), *((s.language, s.definition) for s in self.senses))


@dataclass(frozen=True)
class Message:
    """One turn of a chat; `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True)
class Chat:
    """One training or evaluation example: assistant turns are learned, the last one is what is asked for."""

    kind: ClassVar[str] = "chat"
    id: str
    messages: tuple[Message, ...]
    origin: str
    task: str = "chat"
    language: str = ""
    """Language of the answer."""
    weight: float = 1.0
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Standard keys: `direction` (`spa>tzh`), `record` (id it was made from), `source` (bare text to translate)."""

    def texts(self) -> tuple[tuple[str, str], ...]:
        return tuple((self.language, m.content) for m in self.messages)

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The messages before the answer."""
        return self.messages[:-1] if self.messages and self.messages[-1].role == "assistant" else self.messages

    @property
    def answer(self) -> str:
        """The reference answer, or `""` when there is none."""
        return self.messages[-1].content if self.messages and self.messages[-1].role == "assistant" else ""


@dataclass(frozen=True)
class Preference:
    """Two answers to one prompt, the first preferred."""

    kind: ClassVar[str] = "preference"
    id: str
    messages: tuple[Message, ...]
    chosen: str
    rejected: str
    origin: str
    meta: Mapping[str, Any] = field(default_factory=dict)

    def texts(self) -> tuple[tuple[str, str], ...]:
        return (*(("", m.content) for m in self.messages), ("", self.chosen), ("", self.rejected))


Record = Doc | Pair | Entry | Chat | Preference


@dataclass(frozen=True)
class Keep:
    """A record that goes on, changed or not."""

    record: Record


@dataclass(frozen=True)
class Drop:
    """A record (or raw row) that does not go on, with the reason the ledger shows."""

    record: Record
    reason: str
    """Short and stable, `filter.what`: `length.too_long`."""
    detail: str = ""


@dataclass(frozen=True)
class Link:
    """One bead of an alignment: positions on both sides that say the same (either may be empty)."""

    source: tuple[int, ...]
    target: tuple[int, ...]
    confidence: float
    """Estimated probability, 0 to 1, that the link is right."""


@dataclass(frozen=True)
class Score:
    """One number that can be quoted: value, 95 % interval, how it was computed and on how many items."""

    name: str
    value: float
    low: float
    high: float
    signature: str
    num_items: int
    higher_is_better: bool = True
    per_item: tuple[float, ...] = ()
    """Optional sufficient statistic per item, kept out of tables."""


_KINDS: dict[str, type] = {cls.kind: cls for cls in (Doc, Pair, Entry, Chat, Preference)}


def to_json(record: Record) -> dict[str, Any]:
    """Return `record` as plain JSON data with a `kind` key; `from_json` is its inverse."""
    # Not `asdict`, which copies every value of `meta` and takes ten times as long.
    data = {"kind": record.kind, **vars(record)}
    for key in ("messages", "senses"):
        if key in data:
            data[key] = [dict(vars(part)) for part in data[key]]
    data["meta"] = dict(record.meta)
    return data


def from_json(data: Mapping[str, Any]) -> Record:
    """Rebuild a record from `to_json` data. Raises KeyError for an unknown kind, TypeError for wrong fields."""
    values = dict(data)
    cls = _KINDS[values.pop("kind")]
    if "messages" in values:
        values["messages"] = tuple(Message(**m) for m in values["messages"])
    if "senses" in values:
        values["senses"] = tuple(Sense(**s) for s in values["senses"])
    return cls(**values)
