"""Words and a bilingual lexicon learned from sentence pairs (IBM model 1).

Brown, Della Pietra, Della Pietra and Mercer, "The Mathematics of Statistical Machine Translation", 1993: every target word
is made by one source word or by none, all alignments equally likely; expectation maximisation gives p(target | source).
Both directions are learned and multiplied (as in Liang et al., "Alignment by Agreement", 2006), which removes most of the
one-sided noise that rare words collect.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import regex

from endonym.data.scripts import APOSTROPHES

# A word is letters, marks and digits, with apostrophe-like letters anywhere (Tseltal `lok'` ends in one), zero-width joiners,
# and single hyphens inside. Ethiopic U+1361 to U+1368 are punctuation and so part words.
_WORD = regex.compile(
    rf"(?:[\p{{L}}\p{{M}}\p{{N}}\u200c\u200d{regex.escape(APOSTROPHES)}]|(?<=[\p{{L}}\p{{N}}])[-·](?=[\p{{L}}\p{{N}}]))+"
)


def words(text: str) -> list[str]:
    """The words of a text in any script, as written: apostrophes, marks and joiners stay, punctuation goes."""
    return [w for w in _WORD.findall(text) if any(c.isalnum() for c in w)]


class Lexicon:
    """Translation probabilities of words, from source to target."""

    def __init__(self, table: dict[str, dict[str, float]]):
        self.table = table

    @classmethod
    def learn(
        cls, pairs: Sequence[tuple[str, str]], iterations: int = 5, symmetric: bool = True, least: float = 0.005
    ) -> Lexicon:
        """Learn from (source, target) texts. Translations with a probability under `least` are left out."""
        tokens = [(words(a), words(b)) for a, b in pairs]
        tokens = [(a, b) for a, b in tokens if a and b]
        if not tokens:
            return cls({})
        source_ids, target_ids = _number(a for a, _ in tokens), _number(b for _, b in tokens)
        rows = [([source_ids[w] for w in a], [target_ids[w] for w in b]) for a, b in tokens]
        forward = _ibm1(rows, len(source_ids), len(target_ids), iterations)
        if symmetric:
            backward = _ibm1([(b, a) for a, b in rows], len(target_ids), len(source_ids), iterations)
            s, t, p = forward
            bt, bs, bp = backward
            width = len(target_ids) + 1
            key, back = s * width + t, bs * width + bt
            order = np.argsort(back, kind="stable")
            at = np.clip(np.searchsorted(back[order], key), 0, len(back) - 1)
            match = back[order][at] == key
            p = np.where(match, p * bp[order][at], 0.0)
            totals = np.bincount(s, weights=p, minlength=len(source_ids))
            # What is left when both directions disagree on a word is no evidence at all: such a word keeps little mass.
            p = p / np.maximum(totals[s], 1e-3)
            forward = (s, t, p)
        names_s, names_t = list(source_ids), list(target_ids)
        table: dict[str, dict[str, float]] = {}
        s, t, p = forward
        for n in np.nonzero(p >= least)[0]:
            table.setdefault(names_s[s[n]], {})[names_t[t[n]]] = float(p[n])
        return cls(table)

    def p(self, word: str) -> dict[str, float]:
        """Translations of a source word with their probabilities; empty for an unknown word."""
        return self.table.get(word, {})

    def best(self, word: str, n: int = 1) -> list[tuple[str, float]]:
        """The `n` likeliest translations of a word, likeliest first; ties in alphabetical order."""
        return sorted(self.p(word).items(), key=lambda item: (-item[1], item[0]))[:n]

    def __contains__(self, word: str) -> bool:
        return word in self.table

    def __len__(self) -> int:
        return len(self.table)


def _number(texts: Iterable[list[str]]) -> dict[str, int]:
    ids: dict[str, int] = {}
    for text in texts:
        for word in text:
            ids.setdefault(word, len(ids))
    return ids


def _ibm1(
    rows: Sequence[tuple[list[int], list[int]]], num_source: int, num_target: int, iterations: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs that occur together and their probability: (source, target, p), the empty word left out.

    Every (sentence, target position, source position) is one link; links of one target position share a slot, and links of
    the same two words share a cell of the table.
    """
    null = num_source
    links_s, links_t, slots = [], [], []
    slot = 0
    for source, target in rows:
        with_null = [*source, null]
        n, m = len(with_null), len(target)
        links_s.append(np.tile(with_null, m))
        links_t.append(np.repeat(target, n))
        slots.append(np.repeat(np.arange(slot, slot + m), n))
        slot += m
    s, t, where = np.concatenate(links_s), np.concatenate(links_t), np.concatenate(slots)
    cells, cell = np.unique(s.astype(np.int64) * num_target + t, return_inverse=True)
    cell_source = cells // num_target
    p = np.full(len(cells), 1.0)
    for _ in range(iterations):
        weight = p[cell]
        weight = weight / np.bincount(where, weights=weight, minlength=slot)[where]
        counts = np.bincount(cell, weights=weight, minlength=len(cells))
        p = counts / np.bincount(cell_source, weights=counts, minlength=num_source + 1)[cell_source]
    real = cell_source != null
    return cell_source[real], (cells % num_target)[real], p[real]
