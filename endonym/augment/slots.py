"""Places in training pairs where a word of the dictionary stands beside its gloss, bare or with an affix, and what may stand there instead."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from endonym.augment.aligned import Aligned
from endonym.data.glosses import glosses
from endonym.data.lexicon import words
from endonym.types import Entry, Record

LONGEST_AFFIX = 4
SHORTEST_STEM = 2
GAP = "…"
"""Stands for the gloss in what a word with an affix is translated as: `mi …`."""
TRIES = 400
"""Words of a part of speech that are looked at for one place."""


@dataclass(frozen=True)
class Word:
    """A word of the dictionary with a gloss of one word."""

    entry: Entry
    headword: str
    gloss: str

    @property
    def part_of_speech(self) -> str:
        return self.entry.part_of_speech


@dataclass(frozen=True)
class Affix:
    """What is put around a word of a part of speech, and around its gloss."""

    part_of_speech: str
    prefix: str
    suffix: str
    meaning: tuple[str, ...]
    """Words of the translation, `GAP` for the gloss."""

    def __bool__(self) -> bool:
        return bool(self.prefix or self.suffix)

    def __str__(self) -> str:
        return f"{self.prefix}{GAP}{self.suffix} = {' '.join(self.meaning)}"


@dataclass(frozen=True)
class Slot:
    """A word of the dictionary in a pair: `at` in the language, its gloss at `gloss_at` in the pivot."""

    item: Aligned
    at: int
    gloss_at: int
    word: Word
    affix: Affix


class Dictionary:
    """The words of a dictionary that have a gloss of one word and a part of speech."""

    def __init__(self, records: Iterable[Record], language: str, pivot: str):
        self.words: dict[str, list[Word]] = defaultdict(list)
        self.parts: dict[str, list[Word]] = defaultdict(list)
        for entry in records:
            if not isinstance(entry, Entry) or entry.language != language or not entry.part_of_speech:
                continue
            found = words(entry.headword)
            if len(found) != 1 or found[0] != entry.headword:
                continue
            seen = {
                gloss: None
                for sense in entry.senses
                if sense.language == pivot
                for gloss in glosses(sense.definition)
                if words(gloss) == [gloss]
            }
            for gloss in seen:
                word = Word(entry, entry.headword, gloss)
                self.words[entry.headword.casefold()].append(word)
                self.parts[entry.part_of_speech].append(word)

    def slots(self, items: Sequence[Aligned], affixes: bool) -> Iterator[Slot]:
        """Every place where a headword is aligned to its gloss; with `affixes` also where it carries one."""
        for item in items:
            linked: dict[int, list[int]] = defaultdict(list)
            turned: Counter[int] = Counter()
            for i, j in item.row.links:
                linked[i].append(j)
                turned[j] += 1
            for i, others in linked.items():
                if any(turned[j] > 1 for j in others) or others != list(range(others[0], others[-1] + 1)):
                    continue
                for prefix, stem, suffix in _cuts(item.own.words[i], affixes):
                    for word in self.words.get(stem, ()):
                        gloss = word.gloss.casefold()
                        at = [j for j in others if item.pivot.words[j] == gloss]
                        if len(at) == 1:
                            meaning = tuple(GAP if j == at[0] else item.pivot.words[j] for j in others)
                            yield Slot(item, i, at[0], word, Affix(word.part_of_speech, prefix, suffix, meaning))


def _cuts(word: str, affixes: bool) -> Iterator[tuple[str, str, str]]:
    yield "", word, ""
    if not affixes:
        return
    for before in range(LONGEST_AFFIX + 1):
        for behind in range(LONGEST_AFFIX + 1):
            if (before or behind) and len(word) - before - behind >= SHORTEST_STEM:
                yield word[:before], word[before : len(word) - behind], word[len(word) - behind :]


class Paradigms:
    """Affixes that several headwords of a part of speech are seen with, and next to which letters they stand."""

    def __init__(self, slots: Iterable[Slot], least: int):
        headwords: dict[Affix, set[str]] = defaultdict(set)
        for slot in slots:
            if slot.affix:
                headwords[slot.affix].add(slot.word.headword.casefold())
        self.known = {affix: stems for affix, stems in headwords.items() if len(stems) >= least}
        # An affix often has a form for each kind of neighbour (Tseltal s- and y-): a stem is only given one seen at such a letter.
        self.first = {affix: {stem[0] for stem in stems} for affix, stems in self.known.items()}
        self.last = {affix: {stem[-1] for stem in stems} for affix, stems in self.known.items()}

    def takes(self, affix: Affix, headword: str) -> bool:
        """Whether a headword may be expected with this affix in this form."""
        stem = headword.casefold()
        if affix not in self.known:
            return False
        return (not affix.prefix or stem[0] in self.first[affix]) and (not affix.suffix or stem[-1] in self.last[affix])


class Plausible:
    """Chooses what stands in a slot instead: of the same part of speech, about as common, and fit for the words around its gloss."""

    def __init__(self, items: Sequence[Aligned], dictionary: Dictionary, ratio: float):
        self.dictionary = dictionary
        self.ratio = math.log(ratio)
        self.counts = Counter(word for item in items for word in item.own.words)
        self.before: set[tuple[str, str]] = set()
        for item in items:
            self.before |= set(zip(("", *item.pivot.words), (*item.pivot.words, "")))

    def choose(
        self, slot: Slot, paradigms: Paradigms, draw: random.Random, used: Counter[str], most: int
    ) -> Word | None:
        """A word for the slot that `used` has fewer than `most` times; None when there is none."""
        known = self.dictionary.parts[slot.word.part_of_speech]
        for word in draw.sample(known, min(TRIES, len(known))):
            if used[word.headword] < most and self._fits(slot, word) and self._inflects(slot, word, paradigms):
                return word
        return None

    def _inflects(self, slot: Slot, word: Word, paradigms: Paradigms) -> bool:
        return not slot.affix or paradigms.takes(slot.affix, word.headword)

    def _fits(self, slot: Slot, word: Word) -> bool:
        old, new = slot.word, word
        if old.headword.casefold() == new.headword.casefold() or old.gloss.casefold() == new.gloss.casefold():
            return False
        common = [math.log(1 + self.counts[w.headword.casefold()]) for w in (old, new)]
        if abs(common[0] - common[1]) > self.ratio:
            return False
        gloss, meaning = new.gloss.casefold(), slot.affix.meaning
        before, after = slot.item.pivot.around(slot.gloss_at, slot.gloss_at + 1)
        # Words that the affix itself is translated as (mi casa) go with any word that takes it.
        if meaning[0] == GAP and (before, gloss) not in self.before:
            return False
        # What follows may agree with it (casa blanca); words of one ending mostly agree alike.
        return not after or (gloss, after) in self.before or gloss[-1] == old.gloss.casefold()[-1]


def exchange(slot: Slot, word: Word) -> tuple[str, str]:
    """The texts of a slot's pair, in the language and in the pivot, with another word of the dictionary in it."""
    own = f"{slot.affix.prefix}{word.headword}{slot.affix.suffix}" if slot.affix else word.headword
    at, gloss_at = slot.at, slot.gloss_at
    return slot.item.own.exchanged(at, at + 1, own), slot.item.pivot.exchanged(gloss_at, gloss_at + 1, word.gloss)
