"""Put another word of the dictionary, with its translation, in the place of a word whose translation is aligned to it.

Only words of the same part of speech that are about as common change places, and only where the words beside the translation have
been seen beside the new one. Affixes that several headwords are seen with stay on.
Compare Fadaee, Bisazza and Monz, Data Augmentation for Low-Resource Neural Machine Translation (ACL 2017).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ConfigDict, Field

from endonym.augment.material import Context, made_pair
from endonym.augment.slots import Dictionary, Paradigms, Plausible, exchange
from endonym.types import Pair, Record


class Config(BaseModel):
    """Settings of dictionary substitution."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    affixes: bool = Field(True, description="Also exchange words that carry an affix several headwords are seen with.")
    least: int = Field(3, ge=2, description="Headwords an affix must be seen with.")
    ratio: float = Field(8.0, ge=1, description="How many times commoner or rarer the new word may be.")
    per_pair: int = Field(2, ge=1, description="New pairs made of one pair at most.")
    per_word: int = Field(10, ge=1, description="New pairs that one dictionary word is put into at most.")


def grow(records: Sequence[Record], cfg: Config, context: Context) -> Iterator[Pair]:
    """New pairs, each with one word and its translation exchanged; none without a dictionary with parts of speech."""
    dictionary = Dictionary(records, context.language, context.pivot)
    if not dictionary.words:
        context.log("substitute: there is no dictionary with parts of speech and one-word glosses in the training data")
        return
    items = context.aligned(records)
    slots = list(dictionary.slots(items, cfg.affixes))
    paradigms = Paradigms(slots, cfg.least)
    plausible = Plausible(items, dictionary, cfg.ratio)
    draw = context.random("substitute")
    draw.shuffle(slots)
    of_pair: Counter[str] = Counter()
    of_word: Counter[str] = Counter()
    for _ in range(cfg.per_pair):
        for slot in slots:
            pair, old = slot.item.pair, slot.word
            if of_pair[pair.id] >= cfg.per_pair or context.cancelled():
                continue
            if slot.affix and slot.affix not in paradigms.known:
                continue
            new = plausible.choose(slot, paradigms, draw, of_word, cfg.per_word)
            if new is None:
                continue
            of_pair[pair.id] += 1
            of_word[new.headword] += 1
            own, other = exchange(slot, new)
            said = {"from": [old.headword, old.gloss], "to": [new.headword, new.gloss]}
            said |= {"affix": [str(slot.affix)]} if slot.affix else {}
            yield made_pair(
                "substitute", pair, {context.language: own, context.pivot: other}, [pair, old.entry, new.entry], [said]
            )
