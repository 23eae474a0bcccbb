"""Which module a text belongs to: modules are declared in TOML, and texts labelled by source, by keywords, and at last by the router."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from endonym.config import Layer, raise_problems, read_toml, validate
from endonym.errors import DataError, MissingError, Problem
from endonym.types import Chat, Message

if TYPE_CHECKING:
    import torch

    from endonym.models.nets.domain_bank import DomainBank
    from endonym.models.nets.router import Evidence

ENDS = (8, 16, 32, 64, 128, 256)
"""Lengths in tokens at which a text shows the router how much it has seen of it, beside its whole length."""
HELD = 5
"""Of so many labelled texts, one is kept apart to calibrate the router by."""


class Declared(BaseModel):
    """One `[[module]]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="Its name: letters, digits, - and _.")
    group: str = Field("", description="The group it belongs to.")
    description: str = Field("", description="What it is for.")
    sources: list[str] = Field([], description="Its files, from the project's folder on; * stands for anything.")
    keywords: list[str] = Field([], description="Beginnings of words that tell its texts.")
    seeds: list[str] = Field([], description="Texts of its kind, which the router learns from.")
    rank: int = Field(8, ge=1, description="How much it can learn.")
    layers: list[int] = Field(
        [], max_length=2, description="First and last layer it changes; all from the router's on."
    )


@dataclass(frozen=True)
class Labels:
    """The module of each chat by its id, and how it was found: source, keywords or router."""

    module: Mapping[str, str]
    found: Mapping[str, str]

    def counted(self) -> str:
        """How many were found in which way, in words."""
        ways = Counter(self.found.values())
        return ", ".join(f"{number} by {way}" for way, number in sorted(ways.items())) or "none"


def declared(names: Iterable[str], folder: Path) -> list[Declared]:
    """The modules of TOML files named from `folder` on, in the order of their names. Raises ConfigError with every problem at once."""
    found: list[Declared] = []
    problems: list[str] = []
    for name in names:
        path = folder / Path(name).expanduser()
        tables = read_toml(path)
        problems += [
            f"{path.name}: there is '{key}', and only [[module]] is known" for key in tables if key != "module"
        ]
        for table in tables.get("module", []):
            made = validate(Declared, [Layer(str(table.get("name", "?")), table, path)], "module", problems)
            found += [made] if made else []
    twice = [name for name, number in Counter(m.name for m in found).items() if number > 1]
    problems += [f"the module '{name}' is declared twice" for name in twice]
    problems += [
        f"the module '{m.name}' has neither sources nor keywords nor seeds, so no text is ever its own"
        for m in found
        if not (m.sources or m.keywords or m.seeds)
    ]
    if not found and not problems:
        problems.append("no [[module]] is declared")
    raise_problems(problems)
    return sorted(found, key=lambda m: m.name)


def label(chats: Iterable[Chat], modules: Sequence[Declared]) -> Labels:
    """Label by source where one module alone claims it; else by the most distinct keywords, among those that claim the source if any do."""
    module: dict[str, str] = {}
    found: dict[str, str] = {}
    for chat in chats:
        claims = [m for m in modules if any(_is_of(chat.origin, pattern) for pattern in m.sources)]
        if len(claims) == 1:
            module[chat.id], found[chat.id] = claims[0].name, "source"
            continue
        text = "\n".join(m.content for m in chat.messages).casefold()
        hits = {m.name: sum(bool(_begins(word).search(text)) for word in m.keywords) for m in claims or modules}
        best = max(hits.values(), default=0)
        winners = [name for name, number in hits.items() if number == best]
        if best and len(winners) == 1:
            module[chat.id], found[chat.id] = winners[0], "keywords"
    return Labels(module, found)


def _is_of(origin: str, pattern: str) -> bool:
    return fnmatchcase(origin.rpartition(":")[0] or origin, pattern)


@lru_cache(4096)
def _begins(word: str) -> re.Pattern[str]:
    """A keyword at the beginning of a word, for most languages add something to its end."""
    return re.compile(rf"(?<!\w){re.escape(word.casefold())}")


def seeds_of(module: Declared) -> list[Chat]:
    """The seed texts of a module as plain text."""
    return [
        Chat(f"{module.name}.{n}", (Message("assistant", s),), f"{module.name}:{n}")
        for n, s in enumerate(module.seeds, 1)
    ]


def data_hash(chats: Iterable[Chat]) -> str:
    """SHA-256 over the texts a module learns from, in whatever order they come."""
    texts = sorted(repr([(m.role, m.content) for m in chat.messages]) for chat in chats)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def ends(length: int) -> list[int]:
    """Lengths at which a text of `length` tokens is shown: those of `ENDS` and its own, up to 7."""
    return sorted({min(end, length) for end in ENDS} | {length})


def lines_of(names: Iterable[str], folder: Path) -> list[str]:
    """The lines of text files named from `folder` on; raises MissingError for one that is not there."""
    found: list[str] = []
    for name in names:
        path = folder / Path(name).expanduser()
        if not path.is_file():
            raise MissingError(
                f"the general text {path} is not there", "Name text files, from the project's folder on."
            )
        found += [line.strip() for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    return found


def plain(text: str) -> Chat:
    """A text with nothing around it."""
    return Chat("", (Message("assistant", text),), "")


def learn(evidence: Evidence, rows: Sequence[Sequence[int]], texts: Sequence[torch.Tensor]) -> int:
    """Show texts to the router: their ids, and its features of each at every token, (tokens, D or more).

    One text of `HELD` is kept apart to calibrate by, at least one of two; returns how many features that is.
    """
    import torch

    width = len(evidence.mean)
    apart = {n for n in range(len(texts)) if n % HELD == HELD - 1} or {len(texts) - 1}
    learned: list[torch.Tensor] = []
    held: list[torch.Tensor] = []
    for n, whole in enumerate(texts):
        (held if n in apart else learned).append(whole[[end - 1 for end in ends(len(whole))], :width])
    evidence.learn(
        torch.cat(learned), torch.cat(held), [row for n, row in enumerate(rows) if n not in apart],
        [rows[n][:end] for n in sorted(apart) for end in ends(len(texts[n]))],
    )  # fmt: skip
    return sum(len(states) for states in held)


def learn_router(bank: DomainBank, name: str, rows: Sequence[Sequence[int]], texts: Sequence[torch.Tensor]) -> None:
    """Give the module's evidence its texts and what the router is given of them (`learn`). Raises DataError for fewer than two."""
    if len(texts) < 2:
        repair = "name more sources, keywords or seeds for it, or take it out"
        raise DataError(Problem("the modules", 0, name, f"{len(texts)} training texts are of it", repair))
    bank.note(name, held=learn(bank.member(name).evidence, rows, texts))


def learn_general(bank: DomainBank, rows: Sequence[Sequence[int]], texts: Sequence[torch.Tensor]) -> None:
    """Show the router texts that are of no module. Raises DataError for fewer than two."""
    if len(texts) < 2:
        raise DataError(
            Problem("the general texts", 0, "", f"there are {len(texts)} of them", "name files with more lines")
        )
    bank.shape = bank.shape.model_copy(update={"general": learn(bank.general, rows, texts)})
