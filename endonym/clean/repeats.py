"""Records that say the same: what counts as the same, and how links of the ones left out pass to the one that stays."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import regex

from endonym.data.scripts import APOSTROPHES
from endonym.types import Chat, Record

LINKS = ("headwords", "entries", "dialects")
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


def merged(kept: Record, others: Iterable[Record]) -> Record:
    """`kept` with the headwords, entries and dialects of those left out, so that no link of a dictionary is lost."""
    meta: dict[str, Any] = dict(kept.meta)
    for other in others:
        for key in LINKS:
            found = _listed(meta, key) + [item for item in _listed(other.meta, key) if item not in _listed(meta, key)]
            if found:
                meta[key] = found
        meta["repeats"] = int(meta.get("repeats", 0)) + 1 + int(other.meta.get("repeats", 0))
    return replace(kept, meta=meta) if meta != dict(kept.meta) else kept


def _listed(meta: Any, key: str) -> list[Any]:
    if key in meta:
        return list(meta[key])
    # A single value stands under the name in the singular.
    single = meta.get({"entries": "entry", "dialects": "dialect"}.get(key, key))
    return [single] if isinstance(single, str) else []
