"""Drop records whose text is surely in another language than it is said to be; what is short or uncertain stays."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.clean.cores import worked
from endonym.clean.texts import in_parallel
from endonym.data.languages import name
from endonym.types import Chat, Drop, Entry, Keep, Record

if TYPE_CHECKING:
    from endonym.data.langid import Identifier, Verdict

BATCH = 2000
LEAST_LINES = 20
"""Texts a language must have to be learned; of one with fewer nothing is said."""


class Config(BaseModel):
    """Settings of the language filter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_letters: int = Field(
        25, ge=1, description="Texts with fewer letters stay: names and loan words look like any language."
    )
    sure: float = Field(0.999, ge=0.5, le=1, description="Probability of another language from which a record goes.")
    sample: int = Field(20_000, ge=100, description="Records the project's languages are learned from.")


def sift(records: Iterable[Record], cfg: Config) -> Generator[Keep | Drop, None, dict[str, Any]]:
    """Keep records whose texts may be in their languages. These are learned from the records themselves, twice: the second time
    without what turned out to be another language. Dictionary entries and parallel documents stay.
    """
    stream = iter(records)
    head = list(islice(stream, cfg.sample))
    identifier = _learned(head, cfg)
    if identifier is None:
        yield from map(Keep, chain(head, stream))
        return {}
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    told = partial(_faults, identifier=identifier, cfg=cfg)
    for batch, (faults, counted) in worked(told, _batches(chain(head, stream)), 0 if len(head) >= cfg.sample else 1):
        for code, languages in counted.items():
            seen[code] += languages
        for number, record in enumerate(batch):
            yield Drop(record, "language.other", faults[number]) if number in faults else Keep(record)
    return {
        "learned": identifier.codes,
        "not_told_apart": identifier.near,
        "seen": {code: dict(n.most_common(12)) for code, n in seen.items()},
    }


def _learned(head: Sequence[Record], cfg: Config) -> Identifier | None:
    from endonym.data.langid import learn

    own: dict[str, list[str]] = defaultdict(list)
    for record in head:
        for code, text in _texts(record):
            if _letters(text):
                own[code].append(text)
    own = {code: lines for code, lines in own.items() if len(lines) >= LEAST_LINES}
    if not own:
        return None
    first = learn(own)
    right = {code: [text for text, verdict in zip(lines, first.identify(lines)) if not _other(code, text, verdict, first, cfg)]
             for code, lines in own.items()}  # fmt: skip
    if all(len(right[code]) == len(lines) for code, lines in own.items()):
        return first
    enough = {code: lines for code, lines in right.items() if len(lines) >= LEAST_LINES}
    return learn(enough) if enough else first


def _faults(
    batch: Sequence[Record], identifier: Identifier, cfg: Config
) -> tuple[dict[int, str], dict[str, Counter[str]]]:
    """What is wrong, by the record's place in the batch; and how often texts of a language were taken for which."""
    asked = [(number, code, text) for number, record in enumerate(batch) for code, text in _texts(record)
             if code in identifier.codes]  # fmt: skip
    faults: dict[int, str] = {}
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for (number, code, text), verdict in zip(asked, identifier.identify([text for _, _, text in asked])):
        if _letters(text) >= cfg.min_letters:
            seen[code][verdict.code] += 1
        if _other(code, text, verdict, identifier, cfg) and not in_parallel(batch[number]):
            faults.setdefault(
                number, f"said to be {name(code)}, but it is {name(verdict.code)} ({verdict.probability:.1%})"
            )
    return faults, seen


def _other(code: str, text: str, verdict: Verdict, identifier: Identifier, cfg: Config) -> bool:
    """Whether a text is surely not in the language `code`.

    In the project's other language it must be known to be, so that a text that mixes both, or is in neither, does not go.
    """
    if verdict.code == code or verdict.probability < cfg.sure or _letters(text) < cfg.min_letters:
        return False
    return verdict.known > 0.5 if verdict.code in identifier.codes else verdict.known < 0.5


def _texts(record: Record) -> list[tuple[str, str]]:
    """Texts whose language is known: of a chat those that answer, for a question may be in another."""
    if isinstance(record, Chat):
        return [(record.language, m.content) for m in record.messages if m.role == "assistant" and record.language]
    return [] if isinstance(record, Entry) else [(code, text) for code, text in record.texts() if code]


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    while batch := list(islice(records, BATCH)):
        yield batch
