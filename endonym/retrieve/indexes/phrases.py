"""Phrase by phrase: a draft of a whole sentence in the other language, put together from word groups of the training pairs.

Learned in seconds from the training pairs and the dictionary (`data/phrases.py`). A training row is drafted as if it and the other
examples of its headwords had never been seen, so that drafts are as good, and as bad, as they are of new sentences.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import regex
from pydantic import BaseModel, ConfigDict, Field

from endonym.data import phrases
from endonym.data.glosses import glosses
from endonym.data.lexicon import ALONE, words
from endonym.retrieve.indexes.memory import MemoryIndex, groups_of
from endonym.types import Entry, Pair

FILE = "phrases.json.gz"
_UNSPACED = regex.compile(rf"[{ALONE}]")


class Config(BaseModel):
    """Settings of the phrase index."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    iterations: int = Field(6, ge=1, description="Passes of expectation maximisation when words are aligned.")
    beam: int = Field(8, ge=1, description="Unfinished drafts kept side by side; more is slower.")
    likeness: float = Field(
        0.5, ge=0, le=1, description="Least cosine of character n-grams for a word to stand in for another."
    )


def build(records: Sequence[Pair | Entry], cfg: Config, out: Path) -> None:
    """Align the words of pairs and of headwords with their glosses, and store them."""
    kinds: dict[tuple[str, str], list[tuple[list[str], list[str], bool, list[str]]]] = {}
    for record in records:
        if isinstance(record, Pair):
            first, second = sorted((record.source_language, record.target_language))
            found, whole, groups = [(record.text(first), record.text(second))], True, groups_of(record)
        elif record.senses:
            first, second = sorted((record.language, record.senses[0].language))
            found = [(record.headword, g) for sense in record.senses for g in glosses(sense.definition)]
            found = found if first == record.language else [(b, a) for a, b in found]
            whole, groups = False, [f"id:{record.id}", f"headword:{record.headword}"]
        else:
            continue
        rows = kinds.setdefault((first, second), [])
        rows += [(words(a.casefold()), words(b.casefold()), whole, groups) for a, b in found]
    data = []
    for languages, rows in sorted(kinds.items()):
        aligned = phrases.learn([(a, b) for a, b, _, _ in rows], [whole for _, _, whole, _ in rows], cfg.iterations)
        stored = [
            [" ".join(row.source), " ".join(row.target), row.links, row.sentence, groups]
            for row, (_, _, _, groups) in zip(aligned, rows, strict=True)
        ]
        data.append({"languages": languages, "rows": stored})
    text = json.dumps({"config": cfg.model_dump(), "tables": data}, ensure_ascii=False)
    (out / FILE).write_bytes(gzip.compress(text.encode(), mtime=0))


class PhraseIndex:
    """Phrase tables in every direction, counted when first asked for."""

    def __init__(self, tables: Sequence[dict], cfg: Config):
        self.cfg = cfg
        self._stored = {tuple(table["languages"]): table["rows"] for table in tables}
        self._tables: dict[tuple[str, str], tuple[phrases.PhraseTable, dict[str, list[int]]]] = {}
        self._unknown: dict[tuple[str, str], Callable[[str], list[str]]] = {}

    @classmethod
    def load(cls, folder: Path) -> PhraseIndex:
        data = json.loads(gzip.decompress((folder / FILE).read_bytes()))
        return cls(data["tables"], Config(**data["config"]))

    def draft(self, text: str, source_language: str, target_language: str, exclude: Collection[str] = ()) -> str:
        """`text` phrase by phrase in the other language, with its own punctuation and capitals.

        A word that nothing is known of stays as it is. `exclude` are group keys; rows that have one count as never seen.
        Returns `""` when the two languages were not learned.
        """
        key = (source_language, target_language)
        if key not in self._tables and not self._open(key):
            return ""
        table, members = self._tables[key]
        without = sorted({number for group in exclude for number in members.get(group, ())})
        runs = _runs(text)
        said: list[str] = []
        pieces: list[str] = []
        position = 0
        for n, run in enumerate(runs):
            made = table.draft(
                [word.casefold() for _, word in run],
                without, self._unknown[key], said[-2:], ends=n == len(runs) - 1,
            )  # fmt: skip
            shown: list[str] = []
            upper = False
            for at, _, target in made:
                said += target
                upper = upper or run[at][1][:1].isupper()
                if target == (run[at][1].casefold(),):
                    target = (run[at][1],)
                if target:
                    shown += [target[0][:1].upper() + target[0][1:] if upper else target[0], *target[1:]]
                    upper = False
            start, (end, last) = run[0][0], run[-1]
            pieces += [text[position:start], _joined(shown)]
            position = end + len(last)
        return "".join([*pieces, text[position:]]).strip()

    def _open(self, key: tuple[str, str]) -> bool:
        turned = key not in self._stored
        stored = self._stored.get(key[::-1] if turned else key)
        if stored is None:
            return False
        rows, members = [], {}  # type: list[phrases.Row], dict[str, list[int]]
        for number, (a, b, links, sentence, groups) in enumerate(stored):
            pair = tuple(a.split()), tuple(b.split())
            if turned:
                rows.append(phrases.Row(pair[1], pair[0], tuple(sorted((j, i) for i, j in links)), sentence))
            else:
                rows.append(phrases.Row(*pair, tuple((i, j) for i, j in links), sentence))
            for group in groups:
                members.setdefault(group, []).append(number)
        self._tables[key] = phrases.PhraseTable(rows, beam=self.cfg.beam), members
        self._unknown[key] = _stand_ins(rows, self.cfg.likeness)
        return True


def _stand_ins(rows: Iterable[phrases.Row], likeness: float) -> Callable[[str], list[str]]:
    """Known words like a word, the likest first: inflected forms share most of their character n-grams."""
    index = MemoryIndex(sorted({word for row in rows for word in row.source}))

    @lru_cache(maxsize=1 << 16)
    def like(word: str) -> list[str]:
        found = [index.texts[at] for score, at in index.search(word, 4) if score >= likeness]
        return [other for other in found if other != word][:3]

    return like


def _runs(text: str) -> list[list[tuple[int, str]]]:
    """The words of `text` with their places, in runs that only spaces (or nothing) interrupt."""
    runs: list[list[tuple[int, str]]] = []
    position = 0
    for word in words(text):
        start = text.find(word, position)
        if start < 0:
            continue
        if not runs or text[position:start].strip():
            runs.append([])
        runs[-1].append((start, word))
        position = start + len(word)
    return runs


def _joined(found: Sequence[str]) -> str:
    """Words with spaces between them, except between letters of scripts without."""
    joined = ""
    for word in found:
        bare = joined and _UNSPACED.match(joined[-1]) and _UNSPACED.match(word)
        joined += word if not joined or bare else " " + word
    return joined
