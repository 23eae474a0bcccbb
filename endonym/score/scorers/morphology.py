"""Words built of many parts are harder: segments per word, by a segmentation learned from the training text alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from endonym.score.texts import distinct, texts
from endonym.types import Chat

if TYPE_CHECKING:
    from endonym.jobs.job import Job

Letters = tuple[str, ...]
ROUNDS = 5
"""Passes over the words; on 15,000 Amharic and Tseltal words hardly a segment changes after the fourth."""
LONGEST = 60
"""Letters of a segment at most: time grows with the square of it, and scripts without spaces have words as long as sentences."""


class Config(BaseModel):
    """Settings of the segmentation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    corpus_weight: float = Field(
        2.0, gt=0, description="Price of using a segment against spelling a new one; higher cuts words less often."
    )


def score(chats: Sequence[Chat], cfg: Config, job: Job) -> list[float]:
    """Mean number of segments of a chat's words; not a number where there is none."""
    from endonym.data.lexicon import words

    vocabulary: dict[str, set[str]] = {}
    for language, text in distinct(chats):
        vocabulary.setdefault(language, set()).update(word.casefold() for word in words(text))
    parts = {language: segment(found, cfg.corpus_weight, job.project.seed) for language, found in vocabulary.items()}
    results = []
    for chat in chats:
        said = [(language, word.casefold()) for language, text in texts(chat) for word in words(text)]
        results.append(sum(len(parts[language][word]) for language, word in said) / len(said) if said else float("nan"))
    return results


def segment(vocabulary: Iterable[str], corpus_weight: float, seed: int) -> dict[str, list[str]]:
    """Cut each word where the shortest description of all words cuts it: every segment spelled once, then referred to.

    The model of Morfessor Baseline (Creutz and Lagus, Unsupervised Models for Morpheme Segmentation and Morphology Learning, ACM
    TSLP 4, 2007) trained with Viterbi (Virpioja and others, Morfessor 2.0, 2013), each word counted once; the corpus weight is
    that of Kohonen, Virpioja and Lagus (SIGMORPHON 2010). Combining marks stay with their letter.
    """
    import math
    import random

    import regex

    spelled: dict[str, Letters] = {word: tuple(regex.findall(r"\X", word)) for word in sorted(vocabulary)}
    frequency = Counter(letter for letters in spelled.values() for letter in letters)
    total = math.log2(frequency.total() + len(spelled)) if spelled else 0.0
    bits = {letter: total - math.log2(n) for letter, n in frequency.items()}
    bits[""] = total - math.log2(max(1, len(spelled)))
    cut: dict[str, list[Letters]] = {word: [letters] for word, letters in spelled.items()}
    used = Counter(spelled.values())
    number = len(spelled)
    words = list(spelled)
    dice = random.Random(seed)
    for _ in range(ROUNDS):
        dice.shuffle(words)
        for word in words:
            for part in cut[word]:
                used[part] -= 1
            number -= len(cut[word])
            cut[word] = _cheapest(spelled[word], used, number, bits, corpus_weight)
            used.update(cut[word])
            number += len(cut[word])
    return {word: ["".join(part) for part in parts] for word, parts in cut.items()}


def _cheapest(
    word: Letters, used: Mapping[Letters, int], number: int, bits: Mapping[str, float], corpus_weight: float
) -> list[Letters]:
    """The cheapest way to say `word` in segments `used` so often among `number`; a new one is spelled out, end included."""
    import math

    length = len(word)
    all_bits = corpus_weight * math.log2(number + length)
    best, start_of = [0.0] + [math.inf] * length, [0] * (length + 1)
    for end in range(1, length + 1):
        spelling = bits[""]
        for start in range(end - 1, max(-1, end - 1 - LONGEST), -1):
            spelling += bits[word[start]]
            times = used.get(word[start:end], 0)
            price = all_bits - corpus_weight * math.log2(times) if times else all_bits + spelling
            if best[start] + price < best[end]:
                best[end], start_of[end] = best[start] + price, start
    parts: list[Letters] = []
    end = length
    while end:
        parts.append(word[start_of[end] : end])
        end = start_of[end]
    return parts[::-1]
