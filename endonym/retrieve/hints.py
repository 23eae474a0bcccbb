"""Hints for a prompt: the nearest training pairs, the likely translations of its words, and a draft.

A small model that has never seen a language translates far better with them than from its weights alone, so the same
hints stand in the prompt in training, evaluation, chat and serving.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from endonym.retrieve.indexes import dictionary, memory, phrases
from endonym.types import Entry, Pair, Record

Kind = Literal["none", "dictionary", "memory", "both"]


@dataclass(frozen=True)
class Known:
    """A training pair like the text, with the draft of its source: what was drafted, and what was right."""

    source: str
    target: str
    draft: str = ""


@dataclass(frozen=True)
class Hints:
    """What a prompt may lean on."""

    pairs: tuple[Known, ...] = ()
    """Known translations, nearest first."""
    words: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Source words with likely translations."""
    draft: str = ""
    """The text phrase by phrase in the other language."""

    def __bool__(self) -> bool:
        return bool(self.pairs or self.words or self.draft)


class Hinter:
    """Looks hints up in the indexes of a folder made by `build`."""

    def __init__(self, folder: Path):
        self.folder = folder

    @cached_property
    def memory(self) -> memory.PairMemory:
        return memory.PairMemory.load(self.folder)

    @cached_property
    def words(self) -> dictionary.WordIndex:
        return dictionary.WordIndex.load(self.folder)

    @cached_property
    def phrases(self) -> phrases.PhraseIndex:
        return phrases.PhraseIndex.load(self.folder)

    def hints(
        self,
        text: str,
        source_language: str,
        target_language: str,
        kind: Kind = "both",
        num_pairs: int = 3,
        num_glosses: int = 0,
        novelty: float = 0.6,
        exclude: Collection[str] = (),
    ) -> Hints:
        """Hints for translating `text`; rows that share a group key with `exclude` are not used."""

        def drafted(source: str, without: Collection[str]) -> str:
            return self.phrases.draft(source, source_language, target_language, without) if drafts else ""

        drafts = kind in ("dictionary", "both")
        pairs: tuple[Known, ...] = ()
        glossed: tuple[tuple[str, tuple[str, ...]], ...] = ()
        if kind in ("memory", "both") and num_pairs:
            found = self.memory.search(text, source_language, target_language, num_pairs, exclude, novelty)
            pairs = tuple(
                Known(source, target, drafted(source, {*exclude, *groups})) for _, source, target, groups in found
            )
        draft = ""
        if drafts:
            draft = drafted(text, exclude)
            if num_glosses:
                found_words = self.words.gloss(text, source_language, target_language, num_glosses, exclude)
                glossed = tuple((word, tuple(best)) for word, best in found_words)
        return Hints(pairs, glossed, draft)


def build(records: Sequence[Record], out: Path) -> Hinter:
    """Write the indexes over `records` (training records only) into `out` and open them."""
    out.mkdir(parents=True, exist_ok=True)
    memory.build([r for r in records if isinstance(r, Pair)], memory.Config(), out)
    known = [r for r in records if isinstance(r, (Pair, Entry))]
    dictionary.build(known, dictionary.Config(), out)
    phrases.build(known, phrases.Config(), out)
    return Hinter(out)
