"""How hard a question is, told from the verb that says what is asked: simple counts once, medium twice, complex three times."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from endonym.config import read_toml
from endonym.data.contains import says


@dataclass(frozen=True)
class Level:
    """`simple`, `medium` or `complex`, its factor, and the verb it was told from; no verb where it is the default."""

    name: str
    factor: int
    verb: str

    @property
    def why(self) -> str:
        return f"it asks to '{self.verb}'" if self.verb else "no verb of the table stands in it: medium is the default"


@lru_cache(maxsize=1)
def _table() -> list[tuple[str, int, list[str]]]:
    """Levels from hard to easy, each with its factor and verbs of all languages."""
    data = read_toml(Path(__file__).with_name("complexity.toml"))
    found = [
        (name, int(row["factor"]), [v for key, verbs in row.items() if key != "factor" for v in verbs])
        for name, row in data.items()
    ]
    return sorted(found, key=lambda level: -level[1])


def level(question: str, task: str = "") -> Level:
    """The level of a task named by its verb, else of the hardest verb in the question, else medium."""
    for text in (task, question):
        for name, factor, verbs in _table():
            verb = next((v for v in verbs if says(text, v)), "") if text else ""
            if verb:
                return Level(name, factor, verb)
    return next(Level(name, factor, "") for name, factor, _ in _table() if name == "medium")
