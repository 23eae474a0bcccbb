"""The texts a tokenizer is made from and measured on, and how often the base's cutting breaks their words."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from endonym.data.dataset import Dataset
from endonym.data.lexicon import words
from endonym.errors import DataError, Problem

Item = TypeVar("Item")
AT_ONCE = 1024
"""Texts that a tokenizer is given together: fast, without holding everything it says of a large corpus."""


@dataclass(frozen=True)
class Texts:
    """Training texts of the language and of the pivot, and held-out ones to measure on."""

    target: list[str]
    pivot: list[str]
    held: list[str]
    """Of the language; the training texts where validation has none."""
    held_pivot: list[str]

    @property
    def split(self) -> str:
        """Where `held` is from."""
        return "train" if self.held is self.target else "valid"

    @property
    def pivot_split(self) -> str:
        """Where `held_pivot` is from; `valid` too where there is no text in the pivot at all."""
        return "train" if self.pivot and self.held_pivot is self.pivot else "valid"


def texts_of(data: Dataset, language: str, pivot: str) -> Texts:
    """Read the training and validation splits. Raises DataError when there is no training text in `language`."""
    found: dict[str, dict[str, list[str]]] = {}
    for split in ("train", "valid"):
        sides: dict[str, list[str]] = {language: [], pivot: []}
        for record in data.records(split):
            for code, text in record.texts():
                if code in sides and text.strip():
                    sides[code].append(text)
        found[split] = sides
    train, valid = found["train"], found["valid"]
    if not train[language]:
        repair = "check [project] language in endonym.toml"
        raise DataError(Problem(str(data.folder), 0, "language", f"no training text in '{language}'", repair))
    return Texts(train[language], train[pivot], valid[language] or train[language], valid[pivot] or train[pivot])


def evenly(items: Sequence[Item], number: int) -> list[Item]:
    """`number` of `items` at equal distances, all where there are no more."""
    number = min(number, len(items))
    return [items[i * len(items) // number] for i in range(number)]


def encoded(tokenizer: Any, texts: Iterable[str]) -> Iterator[list[int]]:
    """The ids of each text, whole and without special tokens around it."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    waiting = iter(texts)
    while some := list(islice(waiting, AT_ONCE)):
        if backend is None:
            yield from tokenizer(some, add_special_tokens=False)["input_ids"]
        else:
            # A tokenizer's file may ask for either.
            backend.no_padding()
            backend.no_truncation()
            yield from (one.ids for one in backend.encode_batch_fast(some, add_special_tokens=False))


def there_and_back(tokenizer: Any, texts: Iterable[str]) -> Iterator[tuple[str, list[int], str]]:
    """Each different text once, with its ids and the text they give back."""
    different = iter(dict.fromkeys(texts))
    while some := list(islice(different, AT_ONCE)):
        rows = list(encoded(tokenizer, some))
        back = tokenizer.batch_decode(rows, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        yield from zip(some, rows, back, strict=True)


def broken_words(tokenizer: Any, texts: Iterable[str], limit: int = 8) -> dict[str, Any]:
    """How many words of `texts` the tokenizer cuts before it knows any token, and the most frequent of them.

    GPT-2's pattern, for one, holds letters together but not their combining marks, so that no merge can ever reach across a
    vowel sign of Devanagari. Words with digits do not count: digits are cut on purpose.
    """
    counts = Counter(word for text in texts for word in words(text))
    cutter = tokenizer.backend_tokenizer.pre_tokenizer
    total = broken = marks = 0
    examples = []
    for word, count in counts.most_common():
        if any(letter.isnumeric() for letter in word):
            continue
        total += count
        pieces = [word[a:b] for _, (a, b) in cutter.pre_tokenize_str(word)] if cutter else [word]
        if len(pieces) > 1:
            broken += count
            marks += count * any(unicodedata.category(p[0])[0] == "M" for p in pieces[1:] if p)
            examples.append([word, pieces])
    return {
        "words": total,
        "broken": broken,
        "share": broken / total if total else 0.0,
        "at_marks": marks,
        "examples": examples[:limit],
    }
