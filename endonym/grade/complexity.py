"""How hard a question is, told from the verb that says what is asked: simple counts once, medium twice, complex three times.

A verb counts where an order is given: many are nouns elsewhere. What is asked with a question word alone is as hard as that word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from endonym.config import read_toml
from endonym.data.contains import folded, says

_SENTENCE = re.compile(r"[.!?።？！。؟¿¡:\n\"“”«»]+")
_PART = re.compile(r"[,;፣፤،]+|\s(?:and|then|y|e)\s")


@dataclass(frozen=True)
class Level:
    """`simple`, `medium` or `complex`, its factor, and the verb it was told from; no verb where it is the default."""

    name: str
    factor: int
    verb: str

    @property
    def why(self) -> str:
        return (
            f"its task is told by '{self.verb}'"
            if self.verb
            else "no verb of the table stands in it: medium is the default"
        )


@lru_cache(maxsize=1)
def _table() -> tuple[list[tuple[str, int, dict[str, Any]]], dict[str, list[str]]]:
    """Levels from hard to easy, each with its factor and its words by kind and language; and where orders stand."""
    data = read_toml(Path(__file__).with_name("complexity.toml"))
    orders = data.pop("orders")
    found = [(name, int(row["factor"]), row) for name, row in data.items()]
    return sorted(found, key=lambda level: -level[1]), orders


def level(question: str, task: str = "") -> Level:
    """The level of a task named by its verb, else of the hardest order or question word in the question, else medium."""
    levels, _ = _table()
    for name, factor, words in levels if task else ():
        for verbs in words["verbs"].values():
            if verb := next((v for v in verbs if says(task, v)), ""):
                return Level(name, factor, verb)
    parts = list(_parts(question))
    for name, factor, words in levels:
        asked = (w for several in words.get("questions", {}).values() for w in several if says(question, w))
        ordered = (v for language, verbs in words["verbs"].items() for v in verbs if _ordered(v, language, parts))
        if word := next(ordered, "") or next(asked, ""):
            return Level(name, factor, word)
    return next(Level(name, factor, "") for name, factor, _ in levels if name == "medium")


def _parts(question: str) -> Iterator[tuple[str, bool]]:
    """The parts of a question's sentences, folded and without what politely goes before, and whether each begins its sentence."""
    before = _table()[1]["before"]
    for sentence in _SENTENCE.split(_folded(question)):
        for number, part in enumerate(_PART.split(sentence.strip())):
            text = part.strip(" -–—()[]'*•")
            while polite := next((w for w in before if text.startswith(f"{w} ")), ""):
                text = text.removeprefix(polite).strip(" ,")
            yield text, number == 0


def _ordered(verb: str, language: str, parts: list[tuple[str, bool]]) -> bool:
    """Whether a verb stands in one of the parts as an order does."""
    orders = _table()[1]
    verb = folded(verb)
    if language in orders["last"]:
        return any(text == verb or text.endswith(f" {verb}") for text, _ in parts)
    objects = tuple(f"{word} " for word in orders["object"])
    return any(
        f"{text} ".startswith(f"{verb} ") and (begins or text.startswith(objects, len(verb) + 1))
        for text, begins in parts
    )


def _folded(text: str) -> str:
    """A text folded as words are compared, its line ends kept."""
    return "\n".join(map(folded, text.split("\n")))
