"""Continue a byte-level BPE: learn more merges on a text, each standing behind all that the base tokenizer has.

Byte-pair encoding (Sennrich, Haddow and Birch, ACL 2016) started not from bytes but from what the base makes of every word
(continued BPE, Purason and others 2025). A new merge is tried only after all old ones, so text in which no new pair stands is
tokenised as before; pairs that stand in protected text are never merged. What lies around a token has no part in how its own
letters were joined, so every new token is what the tokenizer makes of the token's letters alone.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

Pair = tuple[int, int]
Ranks = dict[Pair, tuple[int, int]]
"""Pair of ids -> (rank, id of the token they become)."""


@dataclass
class Merges:
    """Learned merges in order, and the tokens they added."""

    pairs: list[tuple[str, str]] = field(default_factory=list)
    tokens: dict[str, int] = field(default_factory=dict)
    """New token -> id, in the order learned."""
    least: int = 0
    """How often the last pair stood in the text when it was merged."""
    protected: int = 0
    """Pairs that would have been next but stand in protected text."""

    def without(self, tokens: Iterable[str], first_id: int) -> Merges:
        """These merges less those that make one of `tokens` or are made of it, with new ids from `first_id`."""
        gone = set(tokens)
        kept = []
        for left, right in self.pairs:
            if left in gone or right in gone or left + right in gone:
                if left + right in self.tokens:
                    gone.add(left + right)
            else:
                kept.append((left, right))
        names = [token for token in self.tokens if token not in gone]
        return Merges(kept, {t: first_id + i for i, t in enumerate(names)}, self.least, self.protected)


@dataclass(frozen=True)
class Bpe:
    """The base: its vocabulary and merges, and how it writes a pre-token."""

    vocabulary: Mapping[str, int]
    merges: list[tuple[str, str]]
    encode: Callable[[str], list[int]]
    """Ids of a pre-token that is spelled in the byte alphabet."""
    whole_first: bool = False
    """Whether a pre-token that is a token is taken whole before any merge (`ignore_merges`, Llama 3)."""

    def ranks(self) -> Ranks:
        ids = self.vocabulary
        return {(ids[a], ids[b]): (rank, ids[a + b]) for rank, (a, b) in enumerate(self.merges)}


def learn(
    words: Mapping[str, int],
    protected: Iterable[str],
    base: Bpe,
    size: int,
    least: int = 2,
    forbidden: Iterable[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Merges:
    """Learn merges that add up to `size` tokens to `base` from `words` (pre-token -> count), the most frequent pair first.

    `protected` are pre-tokens that must stay as they are, `forbidden` are tokens that must not be made. Stops at pairs that stand
    fewer than `least` times. A pair that spells a token there is already costs no row and counts towards nothing.
    """
    guarded = list(protected)
    blocked = {pair for word in guarded for pair in pairwise(base.encode(word))}
    never = {*forbidden, *(guarded if base.whole_first else ())}
    names = {number: token for token, number in base.vocabulary.items()}
    ids, ranks = dict(base.vocabulary), base.ranks()
    first = max(names) + 1
    corpus = _Corpus((base.encode(word), times) for word, times in words.items())
    made = Merges()
    while len(made.tokens) < size:
        pair, count = corpus.most_frequent()
        if count < max(1, least):
            break
        token = names[pair[0]] + names[pair[1]]
        if pair in blocked or token in never:
            made.protected += 1
            continue
        known = ids.get(token)
        if known is None:
            number = first + len(made.tokens)
            ids[token], names[number], made.tokens[token] = number, token, number
            ranks[pair] = (len(ranks), number)
            corpus.replace(pair, partial(_joined, pair=pair, number=number))
        else:
            # Merges of the token there was may now apply where it is newly made.
            ranks[pair] = (len(ranks), known)
            corpus.replace(pair, partial(merged, ranks=ranks))
        made.pairs.append((names[pair[0]], names[pair[1]]))
        made.least = count
        if progress:
            progress(len(made.tokens), size)
    return made


def merged(word: list[int], ranks: Ranks) -> list[int]:
    """Apply merges to a word as a BPE does: the pair of lowest rank first, of equals the leftmost, until none is left."""
    word = list(word)
    while True:
        found = min(((ranks[pair], i) for i, pair in enumerate(pairwise(word)) if pair in ranks), default=None)
        if found is None:
            return word
        (_, number), i = found
        word[i : i + 2] = [number]


def _joined(word: list[int], pair: Pair, number: int) -> list[int]:
    made, i, end = [], 0, len(word) - 1
    while i <= end:
        if i < end and word[i] == pair[0] and word[i + 1] == pair[1]:
            made.append(number)
            i += 2
        else:
            made.append(word[i])
            i += 1
    return made


class _Corpus:
    """The distinct pre-tokens of a text as ids, with counts of their neighbouring pairs kept up to date."""

    def __init__(self, words: Iterable[tuple[list[int], int]]):
        self.words: list[tuple[list[int], int]] = []
        self.counts: Counter[Pair] = Counter()
        self.where: dict[Pair, set[int]] = {}
        for ids, times in words:
            if len(ids) > 1:
                for pair in pairwise(ids):
                    self.counts[pair] += times
                    self.where.setdefault(pair, set()).add(len(self.words))
                self.words.append((ids, times))
        self.heap = [(-count, pair) for pair, count in self.counts.items()]
        heapq.heapify(self.heap)

    def most_frequent(self) -> tuple[Pair, int]:
        """Take the most frequent pair off the heap; of equals, the one of smallest ids. `((0, 0), 0)` when none is left."""
        while self.heap:
            count, pair = heapq.heappop(self.heap)
            if count and -count == self.counts[pair]:
                return pair, -count
        return (0, 0), 0

    def replace(self, pair: Pair, join: Callable[[list[int]], list[int]]) -> None:
        """Rewrite with `join` every word in which `pair` stands."""
        change: Counter[Pair] = Counter()
        for number in tuple(self.where[pair]):
            before, times = self.words[number]
            after = join(before)
            old, new = Counter(pairwise(before)), Counter(pairwise(after))
            for other in old.keys() | new.keys():
                if old[other] != new[other]:
                    change[other] += times * (new[other] - old[other])
                    if not new[other]:
                        self.where[other].discard(number)
                    elif not old[other]:
                        self.where.setdefault(other, set()).add(number)
            self.words[number] = (after, times)
        for other, by in change.items():
            self.counts[other] += by
            if self.counts[other] > 0:
                if by:
                    heapq.heappush(self.heap, (-self.counts[other], other))
            else:
                del self.counts[other]
                self.where.pop(other, None)
