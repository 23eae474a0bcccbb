"""Change the texts of a record and leave all else as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from endonym.types import Chat, Doc, Entry, Pair, Preference, Record

Change = Callable[[str, str], str]
"""Called with (text, language)."""


def with_texts(record: Record, change: Change) -> Record:
    """The record with every user text passed through `change`; the same object when none changed. Its id stays."""
    if isinstance(record, Pair):
        source, target = change(record.source, record.source_language), change(record.target, record.target_language)
        if source == record.source and target == record.target:
            return record  # most are, and comparing whole records takes longer than most filters
        new: Record = replace(record, source=source, target=target)
    elif isinstance(record, Doc):
        new = replace(record, text=change(record.text, record.language))
    elif isinstance(record, Entry):
        senses = tuple(replace(s, definition=change(s.definition, s.language)) for s in record.senses)
        new = replace(record, headword=change(record.headword, record.language), senses=senses)
    elif isinstance(record, Chat):
        new = replace(
            record, messages=tuple(replace(m, content=change(m.content, record.language)) for m in record.messages)
        )
    else:
        assert isinstance(record, Preference)
        messages = tuple(replace(m, content=change(m.content, "")) for m in record.messages)
        new = replace(record, messages=messages, chosen=change(record.chosen, ""), rejected=change(record.rejected, ""))
    return record if new == record else new


def in_parallel(record: Record) -> bool:
    """Whether a record is a paragraph of a document that has a translation: dropping it would leave a hole in one side."""
    return isinstance(record, Doc) and bool(record.meta.get("parallel"))
