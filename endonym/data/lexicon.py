"""Which word translates which: a lexicon learned from sentence pairs in seconds, and the words it is made of.

IBM model 1 (Brown, Della Pietra, Della Pietra and Mercer, The Mathematics of Statistical Machine Translation, Computational
Linguistics 19, 1993) is trained in both directions. The directions are multiplied, as in Liang, Taskar and Klein, Alignment by
Agreement (NAACL 2006), because model 1 alone explains every word by the commonest word of the other side.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import regex
from numpy.typing import NDArray

from endonym.data.scripts import UNSPACED

Prior = Mapping[str, Mapping[str, float]]

QUOTES = "'’‘`´＇"
"""Marks that are letters in many alphabets (Tseltal k'op) and quotation marks in others; ʼ ꞌ ʻ are letters by Unicode."""
_QUOTATION = {"''", "’’", "‘’", "`´", "`'", "´´", "``", "＇＇"}
ALONE = "".join(rf"\p{{Script={code}}}" for code in sorted(UNSPACED))
"""Letters of scripts without spaces between words, for a character class."""
_LETTER = rf"[[\p{{L}}\p{{M}}\p{{N}}\u00ad\u200c\u200d]--[{ALONE}]]"
_WORD = regex.compile(
    rf"(?V1)(?=[{ALONE}])\X"
    rf"|\p{{N}}+(?:[.,٫٬]\p{{N}}+)+"
    rf"|[{QUOTES}]?{_LETTER}+(?:[{QUOTES}·״׳]{_LETTER}+)*[{QUOTES}]?"
)
KEPT = 24
"""Translations kept of each word; what comes after them is below anything that is ever used."""
LEAST = 0.001
AGREEMENT = 0.3
"""Exponent of the backward probability: 0 is model 1 alone, 1 the full product. On held-out headwords of a Tseltal dictionary,
word-by-word chrF++ is 19.5 for 0, 20.5 for 0.3 and 19.9 for 1 into Spanish, and 25.8, 25.6 and 25.3 into Tseltal."""
_CHUNK = 4_000_000


def words(text: str) -> list[str]:
    """Return the words of `text` in reading order, each as it is written.

    Letters, marks, numbers and joiners hold together, and so do apostrophes inside a word, at its end, and at its start. A pair
    of them around several words is quotation and no part of a word. Where a script has no spaces (Han, Kana, Thai, Lao, Khmer,
    Burmese, Javanese and others), each letter with its marks is a word.
    """
    found: list[str] = _WORD.findall(text)
    opened = -1
    closed: dict[int, int] = {}
    for i, word in enumerate(found):
        if word[0] in QUOTES:
            opened = i
        if opened >= 0 and found[opened][0] + word[-1] in _QUOTATION:
            closed[opened] = i
    for start, end in closed.items():
        found[start], found[end] = found[start][1:], found[end][:-1] if start != end else found[start][1:-1]
    return found


class Lexicon:
    """Translations of words with their probabilities, one direction."""

    def __init__(self, table: Mapping[str, Mapping[str, float]]):
        self.table: dict[str, dict[str, float]] = {
            word: dict(sorted(row.items(), key=lambda item: (-item[1], item[0]))[:KEPT]) for word, row in table.items()
        }

    @classmethod
    def learn(
        cls,
        pairs: Sequence[tuple[str, str]],
        iterations: int = 5,
        prior: Prior | None = None,
        prior_weight: float = 1.0,
    ) -> Lexicon:
        """Learn p(target word | source word) from sentence pairs.

        `prior` holds known translations, as from a dictionary: word -> translation -> weight. They count as if each had been
        seen `prior_weight` times, and are in the lexicon even when no pair has them.
        """
        sources, targets = [words(a) for a, _ in pairs], [words(b) for _, b in pairs]
        forward = model1(sources, targets, iterations, prior or {}, prior_weight)
        backward = model1(targets, sources, iterations, _turned(prior or {}), prior_weight)
        table: dict[str, dict[str, float]] = {}
        for word, row in forward.items():
            agreed = {t: p * backward.get(t, {}).get(word, 0.0) ** AGREEMENT for t, p in row.items()}
            total = sum(agreed.values())
            if total > 0:
                table[word] = {t: p / total for t, p in agreed.items() if p / total >= LEAST}
        return cls(table)

    def p(self, source_word: str) -> dict[str, float]:
        """Probabilities of the translations of a word, likeliest first; empty when the word is unknown."""
        return dict(self.table.get(source_word, {}))

    def best(self, word: str, n: int = 1) -> list[tuple[str, float]]:
        """The `n` likeliest translations of a word with their probabilities."""
        return list(self.table.get(word, {}).items())[:n]

    def __len__(self) -> int:
        return len(self.table)

    def __contains__(self, word: str) -> bool:
        return word in self.table

    def save(self, path: Path) -> None:
        """Write the lexicon as JSON, compressed when the name ends in `.gz`."""
        data = json.dumps(
            {w: {t: round(p, 5) for t, p in row.items()} for w, row in self.table.items()}, ensure_ascii=False
        )
        raw = data.encode()
        Path(path).write_bytes(gzip.compress(raw, mtime=0) if Path(path).suffix == ".gz" else raw)

    @classmethod
    def load(cls, path: Path) -> Lexicon:
        """Read what `save` wrote."""
        raw = Path(path).read_bytes()
        return cls(json.loads(gzip.decompress(raw) if Path(path).suffix == ".gz" else raw))


def _turned(prior: Prior) -> dict[str, dict[str, float]]:
    turned: dict[str, dict[str, float]] = {}
    for word, row in prior.items():
        for translation, weight in row.items():
            turned.setdefault(translation, {})[word] = weight
    return turned


def model1(
    sources: Sequence[Sequence[str]],
    targets: Sequence[Sequence[str]],
    iterations: int = 5,
    prior: Prior | None = None,
    prior_weight: float = 1.0,
) -> dict[str, dict[str, float]]:
    """Model 1 by expectation maximisation: p(target | source) as `source -> target -> probability`.

    The table is held as the pairings that occur; a sentence pair of n and m words has (n + 1) * m of them. `prior` counts are
    added in every maximisation, as a Dirichlet prior would.
    """
    prior = prior or {}
    source_ids = _numbered((*sources, prior), start=1)
    target_ids = _numbered((*targets, *prior.values()), start=0)
    width = max(1, len(target_ids))
    given = {
        source_ids[w] * width + target_ids[t]: prior_weight * weight
        for w, row in prior.items()
        for t, weight in row.items()
    }
    chunks = list(_pairings(sources, targets, source_ids, target_ids))
    parts = [np.fromiter(given, np.int64, len(given)), *(_different(keys) for keys, _, _ in chunks)]
    kinds = _different(np.concatenate(parts))
    added = np.zeros(len(kinds))
    added[np.searchsorted(kinds, parts[0])] = list(given.values())
    indexed = [(np.searchsorted(kinds, keys).astype(np.int32), owners, count) for keys, owners, count in chunks]
    del chunks, parts
    owner = kinds // width
    probability = np.ones(len(kinds))
    for _ in range(max(1, iterations)):
        counts = added.copy()
        for places, owners, count in indexed:
            share = probability[places]
            share /= np.bincount(owners, share, count)[owners]
            counts += np.bincount(places, share, len(kinds))
        probability = counts / np.maximum(np.bincount(owner, counts, len(source_ids) + 1), 1e-300)[owner]
    source_words, target_words = ["", *source_ids], list(target_ids)
    table: dict[str, dict[str, float]] = {}
    for place in np.flatnonzero((probability > 1e-6) & (owner > 0)):
        row = table.setdefault(source_words[owner[place]], {})
        row[target_words[kinds[place] % width]] = float(probability[place])
    return table


def _different(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """The different numbers, sorted, as `np.unique` gives them, which since NumPy 2.3 hashes first and takes up to 60 times as long."""
    ordered = np.sort(keys)
    return ordered[np.r_[True, ordered[1:] != ordered[:-1]]] if len(ordered) else ordered


def _numbered(texts: Iterable[Iterable[str]], start: int) -> dict[str, int]:
    return {word: i for i, word in enumerate(dict.fromkeys(word for text in texts for word in text), start)}


def _pairings(
    sources: Sequence[Sequence[str]],
    targets: Sequence[Sequence[str]],
    source_ids: Mapping[str, int],
    target_ids: Mapping[str, int],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int32], int]]:
    """In chunks: the kind of each pairing, the number of the target word it explains, and how many target words there are."""
    keys: list[NDArray[np.int64]] = []
    owners: list[NDArray[np.int32]] = []
    count = size = 0
    width = len(target_ids)
    for source, target in zip(sources, targets):
        if not source or not target:
            continue
        rows = np.array([0, *(source_ids[w] for w in source)], dtype=np.int64) * width
        keys.append((rows[None, :] + np.array([target_ids[w] for w in target])[:, None]).ravel())
        owners.append(np.repeat(np.arange(count, count + len(target), dtype=np.int32), len(rows)))
        count, size = count + len(target), size + len(keys[-1])
        if size >= _CHUNK:
            yield np.concatenate(keys), np.concatenate(owners), count
            keys, owners, count, size = [], [], 0, 0
    if keys:
        yield np.concatenate(keys), np.concatenate(owners), count
