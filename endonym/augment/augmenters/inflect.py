"""Give words of the dictionary the affixes that others of their part of speech are seen with, in sentences and alone.

A headword inside a longer word of an example whose gloss is in the translation shows an affix and what it does to the translation
(`na`, `jna`: `casa`, `mi casa`). What is seen with several headwords is taken to hold for others of the part of speech that begin, or
end, with a letter the affix is seen at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ConfigDict, Field

from endonym.augment.material import Context, made_pair
from endonym.augment.slots import GAP, Dictionary, Paradigms, Plausible, Slot, Word, exchange
from endonym.types import Pair, Record


class Config(BaseModel):
    """Settings of inflection."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    least: int = Field(3, ge=2, description="Headwords an affix must be seen with.")
    ratio: float = Field(100.0, ge=1, description="How many times commoner or rarer the new word may be.")
    per_pair: int = Field(4, ge=1, description="New pairs made of one example at most.")
    per_word: int = Field(6, ge=1, description="New pairs that one dictionary word is put into at most.")
    alone: float = Field(
        0.25, ge=0, le=1, description="Share of new pairs that are the inflected word by itself, not in a sentence."
    )


def grow(records: Sequence[Record], cfg: Config, context: Context) -> Iterator[Pair]:
    """New pairs with an inflected word; none where no affix is seen with enough headwords."""
    dictionary = Dictionary(records, context.language, context.pivot)
    items = context.aligned(records) if dictionary.words else []
    slots = [slot for slot in dictionary.slots(items, affixes=True) if slot.affix]
    paradigms = Paradigms(slots, cfg.least)
    slots = [slot for slot in slots if slot.affix in paradigms.known]
    if not slots:
        context.log("inflect: no affix is seen with enough headwords of the dictionary")
        return
    commonest = sorted(paradigms.known, key=lambda affix: (-len(paradigms.known[affix]), str(affix)))[:5]
    shown = "; ".join(f"{affix} ({affix.part_of_speech} {len(paradigms.known[affix])})" for affix in commonest)
    context.log(f"inflect: {len(paradigms.known)} affixes of {len(slots)} words, the commonest {shown}")
    plausible = Plausible(items, dictionary, cfg.ratio)
    draw = context.random("inflect")
    draw.shuffle(slots)
    of_pair: Counter[str] = Counter()
    of_word: Counter[str] = Counter()
    for _ in range(cfg.per_pair):
        for slot in slots:
            if of_pair[slot.item.pair.id] >= cfg.per_pair or context.cancelled():
                continue
            new = plausible.choose(slot, paradigms, draw, of_word, cfg.per_word)
            if new is not None:
                of_pair[slot.item.pair.id] += 1
                of_word[new.headword] += 1
                yield _made(slot, new, draw.random() < cfg.alone, context)


def _made(slot: Slot, new: Word, alone: bool, context: Context) -> Pair:
    affix, old = slot.affix, slot.word
    own, other = exchange(slot, new)
    if alone:
        own = f"{affix.prefix}{new.headword}{affix.suffix}"
        other = " ".join(new.gloss if word == GAP else word for word in affix.meaning)
    said = {"from": [old.headword, old.gloss], "to": [new.headword, new.gloss], "affix": [str(affix)]}
    pair = slot.item.pair
    texts = {context.language: own, context.pivot: other}
    return made_pair("inflect", pair, texts, [pair, old.entry, new.entry], [said])
