"""Which groups of words translate which, and a draft made of them: phrase-based translation learned in seconds.

Words are aligned with IBM model 1 in both directions and the two made one by growing their intersection; phrase pairs are those
consistent with the alignment (Koehn, Och and Marcu, Statistical Phrase-Based Translation, NAACL 2003). A draft is the best
sequence of phrases in the source's order under phrase probabilities, their word translations, and a trigram model of the target
(absolute discounting, Ney, Essen and Kneser 1994). Counts of single rows can be left out, so that a training row can be given
the draft it would get had it never been seen (Wuebker, Mauser and Ney, Training Phrase Translation Models with Leaving-One-Out,
ACL 2010); of such a row only the word alignments of other rows still know.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from endonym.data.lexicon import model1

Phrase = tuple[str, ...]
Links = tuple[tuple[int, int], ...]
"""Aligned positions, (source, target)."""

LONGEST = 4
"""Words in a phrase at most, on either side."""
OPTIONS = 12
"""Translations of a phrase that are tried."""
_DISCOUNT = 0.75
_LEAST = 1e-4
_START, _END = "\x02", "\x03"


@dataclass(frozen=True)
class Row:
    """Two texts as words, and which words belong together."""

    source: Phrase
    target: Phrase
    links: Links
    sentence: bool = True
    """False for a word and its gloss, which say nothing of how sentences of the target run."""


@dataclass(frozen=True)
class Weights:
    """Of a draft's log-linear score. The defaults are near those found for a Tseltal dictionary in both directions."""

    fluency: float = 0.3
    forward: float = 0.4
    backward: float = 0.4
    words_forward: float = 0.15
    words_backward: float = 0.15
    word: float = 1.4
    """Added per target word."""
    phrase: float = 0.0
    """Added per phrase."""
    dropped: float = -5.5
    """Added per source word left out."""


@dataclass
class Counts:
    """What is counted in rows; two of them can be subtracted because they are only sums."""

    pairs: dict[Phrase, Counter[Phrase]] = field(default_factory=dict)
    sources: Counter[Phrase] = field(default_factory=Counter)
    targets: Counter[Phrase] = field(default_factory=Counter)
    linked: Counter[tuple[str, str]] = field(default_factory=Counter)
    source_words: Counter[str] = field(default_factory=Counter)
    target_words: Counter[str] = field(default_factory=Counter)
    grams: Counter[Phrase] = field(default_factory=Counter)
    """Target n-grams of one to three words, and under `(…, "")` how often their beginning was followed by anything."""

    def add(self, row: Row, found: Iterable[tuple[Phrase, Phrase]]) -> None:
        """Count a row and the phrase pairs `found` in it."""
        for source, target in found:
            self.pairs.setdefault(source, Counter())[target] += 1
            self.sources[source] += 1
            self.targets[target] += 1
        for i, j in row.links:
            word, other = row.source[i], row.target[j]
            self.linked[word, other] += 1
            self.source_words[word] += 1
            self.target_words[other] += 1
        if row.sentence:
            run = (_START, _START, *row.target, _END)
            for i in range(2, len(run)):
                for start in (i, i - 1, i - 2):
                    self.grams[run[start : i + 1]] += 1
                    self.grams[(*run[start:i], "")] += 1


def align(source: Sequence[str], target: Sequence[str], forward: dict, backward: dict) -> Links:
    """Word alignment of one pair: where both directions agree, grown to neighbouring links of either."""
    n, m = len(source), len(target)

    def far(i: int, j: int) -> float:
        return math.exp(-2 * abs(i / n - j / m))

    given = [forward.get(word, {}) for word in source]
    turned = [backward.get(word, {}) for word in target]
    one = {(max(range(n), key=lambda i: given[i].get(target[j], 1e-7) * far(i, j)), j) for j in range(m)}
    other = {(i, max(range(m), key=lambda j: turned[j].get(source[i], 1e-7) * far(i, j))) for i in range(n)}
    links = one & other
    rest = sorted((one | other) - links)
    rows, columns = {i for i, _ in links}, {j for _, j in links}
    grown = True
    while grown:
        grown = False
        for i, j in rest:
            if (i, j) in links or (i in rows and j in columns):
                continue
            if any((i + a, j + b) in links for a in (-1, 0, 1) for b in (-1, 0, 1)):
                links.add((i, j))
                rows.add(i)
                columns.add(j)
                grown = True
    return tuple(sorted(links))


def phrases_of(row: Row) -> Iterator[tuple[Phrase, Phrase]]:
    """Phrase pairs of a row: no word of either is linked outside of the other; unlinked words at an edge may come along."""
    for begin, end, left, right in spans_of(row):
        yield row.source[begin:end], row.target[left:right]


def spans_of(row: Row) -> Iterator[tuple[int, int, int, int]]:
    """Where the phrase pairs of a row stand: `(begin, end, left, right)`, source words from `begin` to before `end` and likewise."""
    by_source: dict[int, list[int]] = {}
    for i, j in row.links:
        by_source.setdefault(i, []).append(j)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for i, j in row.links:
        first[j], last[j] = min(first.get(j, i), i), max(last.get(j, i), i)
    n, m = len(row.source), len(row.target)
    for begin in range(n):
        low, high = m, -1
        for end in range(begin, min(n, begin + LONGEST)):
            for j in by_source.get(end, ()):
                low, high = min(low, j), max(high, j)
            if high < 0 or high - low >= LONGEST:
                continue
            if any(j in first and (first[j] < begin or last[j] > end) for j in range(low, high + 1)):
                continue
            left = low
            while True:
                right = high
                while right - left < LONGEST:
                    yield begin, end + 1, left, right + 1
                    right += 1
                    if right >= m or right in first:
                        break
                left -= 1
                if left < 0 or left in first or high - left >= LONGEST:
                    break


def learn(
    pairs: Sequence[tuple[Sequence[str], Sequence[str]]], sentences: Sequence[bool], iterations: int = 6
) -> list[Row]:
    """Align `pairs` of words; a pair with an empty side becomes a row without links."""
    sources, targets = [a for a, _ in pairs], [b for _, b in pairs]
    forward = model1(sources, targets, iterations)
    backward = model1(targets, sources, iterations)
    return [
        Row(tuple(a), tuple(b), align(a, b, forward, backward) if a and b else (), whole)
        for (a, b), whole in zip(pairs, sentences, strict=True)
    ]


class PhraseTable:
    """Drafts in one direction."""

    def __init__(self, rows: Iterable[Row], weights: Weights | None = None, beam: int = 8):
        self.rows = list(rows)
        self.weights = weights or Weights()
        self.beam = beam
        self.counts = Counts()
        for row in self.rows:
            self.counts.add(row, phrases_of(row))
        # Rows left out are mostly the same few for one text after another.
        self._phrases = lru_cache(maxsize=1 << 14)(lambda number: list(phrases_of(self.rows[number])))
        self._types: Counter[Phrase] = Counter(gram[:-1] for gram in self.counts.grams if gram[-1])

    def draft(
        self,
        words: Sequence[str],
        without: Iterable[int] = (),
        unknown: Callable[[str], Sequence[str]] | None = None,
        before: Sequence[str] = (),
        ends: bool = True,
    ) -> list[tuple[int, int, Phrase]]:
        """The best translation of `words` as `(first word, number of words, target words)` in reading order.

        Rows with the numbers in `without` count as never seen. `unknown` names known words to stand in for one that has no
        translation, the likest first; without one such a word stays. `before` are target words already written; `ends` says that the text ends here.
        """
        minus = Counts()
        for number in without:
            minus.add(self.rows[number], self._phrases(number))
        score = _Fluency(self, minus)
        weights = self.weights
        state = (_START, _START, *before)[-2:]
        stacks: list[dict[tuple[str, ...], tuple[float, tuple]]] = [{} for _ in range(len(words) + 1)]
        stacks[0][state] = (0.0, ())
        for at in range(len(words)):
            best = sorted(stacks[at].items(), key=lambda item: -item[1][0])[: self.beam]
            for size in range(1, min(LONGEST, len(words) - at) + 1):
                options = self._options(tuple(words[at : at + size]), minus)
                if size == 1:
                    options = [*(options or self._stand_in(words[at], minus, unknown)), ((), weights.dropped)]
                stack = stacks[at + size]
                for past, (total, made) in best:
                    for target, gain in options:
                        value, history = total + gain, past
                        for word in target:
                            value += weights.fluency * score(history, word)
                            history = (history[1], word)
                        known = stack.get(history)
                        if known is None or value > known[0]:
                            stack[history] = (value, (made, (at, size, target)))
        finals = [
            (value + (weights.fluency * score(past, _END) if ends else 0.0), made)
            for past, (value, made) in stacks[-1].items()
        ]
        made, pieces = max(finals, key=lambda item: item[0])[1], []
        while made:
            made, piece = made
            pieces.append(piece)
        return pieces[::-1]

    def _options(self, source: Phrase, minus: Counts) -> list[tuple[Phrase, float]]:
        counts, weights = self.counts, self.weights
        found = counts.pairs.get(source)
        if not found:
            return []
        less = minus.pairs.get(source)
        left = found - less if less else found
        total = counts.sources[source] - minus.sources[source] + 1
        options = []
        for target, n in heapq.nsmallest(OPTIONS, left.items(), key=lambda item: (-item[1], item[0])):
            value = weights.forward * math.log(n / total)
            value += weights.backward * math.log(n / (counts.targets[target] - minus.targets[target] + 1))
            value += weights.words_forward * self._lexical(source, target, minus, False)
            value += weights.words_backward * self._lexical(target, source, minus, True)
            options.append((target, value + weights.word * len(target) + weights.phrase))
        return options

    def _lexical(self, given: Phrase, said: Phrase, minus: Counts, turned: bool) -> float:
        seen = self.counts.target_words if turned else self.counts.source_words
        less = minus.target_words if turned else minus.source_words
        total = 0.0
        for word in said:
            share = 0.0
            for other in given:
                link = (word, other) if turned else (other, word)
                n = self.counts.linked.get(link, 0) - minus.linked.get(link, 0)
                if n > 0:
                    share += n / (seen[other] - less[other])
            total += math.log(max(_LEAST, share / len(given)))
        return total

    def _stand_in(
        self, word: str, minus: Counts, unknown: Callable[[str], Sequence[str]] | None
    ) -> list[tuple[Phrase, float]]:
        for other in unknown(word) if unknown else ():
            if found := self._options((other,), minus)[:4]:
                return found
        return [((word,), self.weights.word)]


class _Fluency:
    """Log probability of a target word after two others."""

    def __init__(self, table: PhraseTable, minus: Counts):
        self.grams, self.minus = table.counts.grams, minus.grams
        self.types = table._types
        self.fewer: Counter[Phrase] = Counter()
        for gram, n in self.minus.items():
            if gram[-1] and n == self.grams[gram]:
                self.fewer[gram[:-1]] += 1
        self.size = max(1, self.types[()] - self.fewer[()])
        self.known: dict[tuple[tuple[str, ...], str], float] = {}

    def __call__(self, past: tuple[str, ...], word: str) -> float:
        key = (past, word)
        if key not in self.known:
            p = 1.0 / self.size
            seen, less = self.grams.get, self.minus.get
            for context in ((), past[1:], past):
                anything, gram = (*context, ""), (*context, word)
                total = seen(anything, 0) - less(anything, 0)
                if total <= 0:
                    break
                rest = _DISCOUNT * (self.types[context] - self.fewer[context]) / total
                p = max(seen(gram, 0) - less(gram, 0) - _DISCOUNT, 0.0) / total + rest * p
            self.known[key] = math.log(p)
        return self.known[key]
