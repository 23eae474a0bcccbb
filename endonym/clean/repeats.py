"""Records that say the same: what counts as the same, and how links of the ones left out pass to the one that stays."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field, replace
from typing import Any

import regex

from endonym.data.scripts import APOSTROPHES
from endonym.types import Chat, Record

LINKS = ("headwords", "entries", "dialects")
MOST_SOURCES = 20
"""Names of other sources that a record keeps."""
_NOT_WORDS = regex.compile(rf"[^\p{{L}}\p{{M}}\p{{N}}{regex.escape(APOSTROPHES)}\u200c\u200d]+")


def key_of(text: str) -> str:
    """A text reduced to its words: case, punctuation and spaces do not count, apostrophes and joiners do.

    An apostrophe is a letter in many languages (Tseltal k'op is not kop), so only their different forms are made one.
    """
    folded = unicodedata.normalize("NFC", text).casefold().translate(_ONE_APOSTROPHE)
    return _NOT_WORDS.sub(" ", folded).strip() or text.strip()


_ONE_APOSTROPHE = str.maketrans(dict.fromkeys(APOSTROPHES, "'"))


def content(record: Record) -> tuple[str, ...]:
    """What makes a record this record: its kind and all its texts, and for an entry its part of speech."""
    roles = [m.role for m in record.messages] if isinstance(record, Chat) else []
    texts = [f"{language}:{key_of(text)}" for language, text in record.texts()]
    return (record.kind, str(getattr(record, "part_of_speech", "")), *roles, *texts)


@dataclass
class Links:
    """What records left out hand over to the one that stays: headwords, entries, dialects, and in which sources they stood."""

    found: dict[str, list[Any]] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    repeats: int = 0

    def add(self, other: Record) -> None:
        """Take over the links of one more record that is left out."""
        for key in LINKS:
            for item in _listed(other.meta, key):
                if item not in self.found.setdefault(key, []):
                    self.found[key].append(item)
        for source in (source_of(other.origin), *other.meta.get("also_in", ())):
            if source not in self.sources and len(self.sources) < MOST_SOURCES:
                self.sources.append(source)
        self.repeats += 1 + int(other.meta.get("repeats", 0))

    def merged(self, kept: Record) -> Record:
        """The record that stays with these links, so that no link of a dictionary is lost."""
        meta: dict[str, Any] = dict(kept.meta)
        for key, items in self.found.items():
            have = _listed(meta, key)
            both = have + [item for item in items if item not in have]
            if both:
                meta[key] = both
        also = list(dict.fromkeys([*meta.get("also_in", ()), *self.sources]))
        also = [source for source in also if source != source_of(kept.origin)]
        if also:
            meta["also_in"] = also
        meta["repeats"] = int(meta.get("repeats", 0)) + self.repeats
        return replace(kept, meta=meta)


def source_of(origin: str) -> str:
    """The file of an origin."""
    return origin.rpartition(":")[0] or origin


def _listed(meta: Any, key: str) -> list[Any]:
    if key in meta:
        return list(meta[key])
    # A single value stands under the name in the singular.
    single = meta.get({"entries": "entry", "dialects": "dialect"}.get(key, key))
    return [single] if isinstance(single, str) else []
