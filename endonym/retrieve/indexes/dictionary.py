"""Word by word: what each word of a sentence is likely to be in the other language.

Learned with IBM model 1 on the training pairs together with the dictionary's headwords and glosses, so that a word has a
translation when the dictionary gives one or when the examples make it plain. A word never seen takes those of the
word it is another spelling of (letters of one sound, apostrophes), else of the known word most like it (inflected forms share
most of their character n-grams).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.folding import fold
from endonym.data.glosses import glosses
from endonym.data.lexicon import Lexicon, words
from endonym.retrieve.indexes.memory import MemoryIndex, groups_of
from endonym.types import Entry, Pair


class Config(BaseModel):
    """Settings of the word index."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    iterations: int = Field(6, ge=1, description="Passes of expectation maximisation.")
    least: float = Field(0.08, ge=0, le=1, description="Least probability of a translation that is shown.")
    likeness: float = Field(
        0.5, ge=0, le=1, description="Least cosine of character n-grams for a word to stand in for another."
    )
    folds: int = Field(
        4, ge=1, description="Lexicons for training rows, each learned without the row's own headword; 1 is none."
    )


def build(records: Sequence[Pair | Entry], cfg: Config, out: Path) -> None:
    """Store what the lexicons are learned from; learning takes seconds and is done by `load`."""
    rows = []
    for record in records:
        if isinstance(record, Pair):
            texts, groups = [[record.source, record.target]], groups_of(record)
            languages = [record.source_language, record.target_language]
        else:
            texts = [[record.headword, g] for sense in record.senses for g in glosses(sense.definition)]
            groups = [f"id:{record.id}", f"headword:{record.headword}"]
            languages = [record.language, record.senses[0].language] if record.senses else []
        if texts and languages:
            rows.append({"languages": languages, "texts": texts, "groups": groups})
    data = {"config": cfg.model_dump(), "rows": rows}
    (out / "dictionary.json").write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")


class WordIndex:
    """Lexicons in every direction, learned when first asked for."""

    def __init__(self, rows: Sequence[dict], cfg: Config):
        self.rows = list(rows)
        self.cfg = cfg
        self._lexicons: dict[tuple[str, str, int], Lexicon] = {}
        self._vocabularies: dict[tuple[str, str], MemoryIndex] = {}
        self._spellings: dict[tuple[str, str], dict[str, list[str]]] = {}
        self._fold_of = {key: fold_of(row["groups"], cfg.folds) for row in self.rows for key in row["groups"][:1]}

    @classmethod
    def load(cls, folder: Path) -> WordIndex:
        data = json.loads((folder / "dictionary.json").read_text(encoding="utf-8"))
        return cls(data["rows"], Config(**data["config"]))

    def gloss(
        self, text: str, source_language: str, target_language: str, k: int = 2, exclude: Collection[str] = ()
    ) -> list[tuple[str, list[str]]]:
        """Return `(word, likely translations)` for each word of `text` that has any, in reading order.

        `exclude` are group keys: when one of them is a training row, the lexicon learned without its fold answers.
        """
        fold = next((self._fold_of[key] for key in exclude if key in self._fold_of), -1)
        lexicon = self._lexicon(source_language, target_language, fold)
        found, seen = [], set()
        for word in words(text.casefold()):
            if word in seen:
                continue
            seen.add(word)
            best = [t for t, p in lexicon.best(word, k) if p >= self.cfg.least]
            for other in () if best else self._spelt(word, source_language, target_language):
                best = best or [t for t, p in lexicon.best(other, k) if p >= self.cfg.least]
            if not best:
                known = self._known(source_language, target_language)
                for likeness, at in known.search(word, 3):
                    if likeness >= self.cfg.likeness and not best:
                        best = [t for t, p in lexicon.best(known.texts[at], k) if p >= self.cfg.least]
            if best:
                found.append((word, best))
        return found

    def draft(self, text: str, source_language: str, target_language: str, exclude: Collection[str] = ()) -> str:
        """Return `text` word by word in the other language, in its own order and with its own punctuation.

        A word without a translation stays as it is; one that begins with a capital gives one that does.
        """
        pieces, position = [], 0
        for word in words(text):
            start = text.find(word, position)
            if start < 0:
                continue
            found = self.gloss(word, source_language, target_language, 1, exclude)
            best = found[0][1][0] if found else word
            best = best[:1].upper() + best[1:] if found and word[:1].isupper() else best
            pieces += [text[position:start], best]
            position = start + len(word)
        return "".join([*pieces, text[position:]]).strip()

    def _lexicon(self, source: str, target: str, fold: int) -> Lexicon:
        key = (source, target, fold if self.cfg.folds > 1 else -1)
        if key not in self._lexicons:
            self._lexicons[key] = Lexicon.learn(self._texts(source, target, key[2]), iterations=self.cfg.iterations)
        return self._lexicons[key]

    def _known(self, source: str, target: str) -> MemoryIndex:
        """All source words, to find the one most like a word never seen."""
        if (source, target) not in self._vocabularies:
            vocabulary = {w for a, _ in self._texts(source, target, -1) for w in words(a)}
            self._vocabularies[source, target] = MemoryIndex(sorted(vocabulary))
        return self._vocabularies[source, target]

    def _spelt(self, word: str, source: str, target: str) -> list[str]:
        """Source words that differ from `word` only in letters that the language writes one for another."""
        if (source, target) not in self._spellings:
            found: dict[str, list[str]] = {}
            for known in self._known(source, target).texts:
                found.setdefault(fold(known, source), []).append(known)
            self._spellings[source, target] = found
        return self._spellings[source, target].get(fold(word, source), [])

    def _texts(self, source: str, target: str, without_fold: int) -> list[tuple[str, str]]:
        pairs = []
        for row in self.rows:
            if set(row["languages"]) != {source, target}:
                continue
            if without_fold >= 0 and fold_of(row["groups"], self.cfg.folds) == without_fold:
                continue
            flip = row["languages"][0] != source
            folded = [(a.casefold(), b.casefold()) for a, b in row["texts"]]
            pairs += [(b, a) for a, b in folded] if flip else folded
        return pairs


def fold_of(groups: Sequence[str], folds: int) -> int:
    """Fold of a row: the same for all rows whose first headword is the same."""
    key = next((g for g in groups if g.startswith("headword:")), groups[0])
    return zlib.crc32(key.encode()) % folds
