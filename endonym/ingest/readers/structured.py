"""Read a dictionary written line by line, as `headword (pos) gloss; gloss. — example = translation`, by a pattern you can write yourself.

`endonym preview FILE` shows what a pattern makes of a file while you write it. Fields it names `headword`, `homograph`, `pos`, `gloss`, `definition`,
`example`, `translation`, `variant` and `reference` go where they belong; others stand in the entry's `meta` under their name. A line that begins with
white space goes on with the one before. Lines that do not fit go to the ledger with the place where they stopped fitting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from endonym.errors import DataError, Problem, UsageError
from endonym.ingest.article import Article, Example, Writer
from endonym.ingest.encoding import lines
from endonym.ingest.pattern import DEFAULT, Found, Stop, compiled
from endonym.ingest.sides import two_sides
from endonym.types import Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.finding import Said
    from endonym.ingest.language import Known
    from endonym.ingest.sample import Sample

EXTENSIONS = (".txt", ".text", ".dic", ".md")
LOOK = 200
ENOUGH = 0.6
"""Share of the lines that must fit for a file to be taken for a dictionary."""
LONGEST = 20_000
"""Characters of one entry; more is a text without line breaks."""
MOST_SLOW = 20
"""Lines that may take too long before the pattern is given up."""


class Config(BaseModel):
    """Settings of reading structured text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language of headwords and examples; the project's when empty.")
    pivot: str = Field("", description="Language of glosses and translations; the project's pivot when empty.")
    pattern: str | tuple[str, ...] = Field(
        DEFAULT, description="How an entry is written; of several patterns, the first that fits a line is taken."
    )
    unit: Literal["line", "paragraph"] = Field(
        "line", description="What an entry is: a line with the indented lines after it, or all lines up to a blank one."
    )
    encoding: str = Field("", description="Encoding of the file; found when empty.")

    @field_validator("pattern")
    @classmethod
    def _can_be_compiled(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for one in (value,) if isinstance(value, str) else value:
            try:
                compiled(one)
            except UsageError as error:
                raise ValueError(f"{error.message}. {error.hint}") from None
        return value


@dataclass(frozen=True)
class Line:
    """An entry as it stands in the file, and what the pattern makes of it."""

    number: int
    text: str
    found: list[Found] | Stop


def sniff(sample: Sample) -> float:
    """High where most lines have a headword of a few words, a word class in brackets and a gloss."""
    if sample.layout is not None or sample.columns or sample.head.lstrip().startswith(("<", "{", "[", "\\")):
        return 0.0
    head = [line for line in sample.head.split("\n")[:-1] or [sample.head] if line.strip() and not line[0].isspace()][
        :LOOK
    ]
    fit = sum(_is_entry(compiled(DEFAULT).fields(line)) for line in head if len(line) < LONGEST)
    return 0.85 if fit >= 3 and fit >= ENOUGH * len(head) else 0.0


def _is_entry(found: list[Found] | Stop) -> bool:
    if isinstance(found, Stop):
        return False
    texts = {one.name: one.text for one in found}
    return len(texts["headword"].split()) <= 4 and len(texts["pos"]) <= 20


def languages(sample: Sample, values: dict[str, Any], known: Known) -> list[Said]:
    """Which languages it is in: by its name, else by what stands in it."""
    cfg = Config.model_validate({key: value for key, value in values.items() if key in Config.model_fields})
    words: list[str] = []
    meanings: list[str] = []
    for line in islice(parsed(sample.path, cfg), 2 * LOOK):
        for one in line.found if isinstance(line.found, list) else ():
            if one.name in ("headword", "example"):
                words.append(one.text)
            elif one.name in ("gloss", "definition", "translation"):
                meanings.append(one.text)
    return two_sides(values, sample.path.stem, words, meanings, known)


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield an `Entry` for every line that fits and a `Pair` for every example. Raises DataError when no line fits."""
    writer = Writer(path, "structured", cfg.language, cfg.pivot)
    yield from writer.records(_articles(path, cfg, writer))


def parsed(path: Path, cfg: Config) -> Iterator[Line]:
    """Every entry of the file in order with its fields, or with where it stops fitting."""
    patterns = [compiled(one) for one in ((cfg.pattern,) if isinstance(cfg.pattern, str) else cfg.pattern)]
    slow = 0
    for number, text in _units(path, cfg):
        stops = []
        for pattern in patterns:
            found = (
                pattern.fields(text) if len(text) <= LONGEST else Stop(LONGEST, "end", "expected the end of the entry")
            )
            if isinstance(found, list):
                yield Line(number, text, found)
                break
            stops.append(found)
        else:
            yield Line(number, text, max(stops, key=lambda stop: stop.place))
        slow += any(stop.why == "slow" for stop in stops)
        if slow > MOST_SLOW:
            raise DataError(Problem(path.name, number, "pattern", f"more than {MOST_SLOW} lines took too long to compare",
                                    "give the fields of the pattern marks that part them"))  # fmt: skip


def _units(path: Path, cfg: Config) -> Iterator[tuple[int, str]]:
    """`(line, text)` of every entry; line breaks inside stay."""
    begun, texts = 0, list[str]()
    for number, raw in lines(path, cfg.encoding):
        line = raw.rstrip("\r\n").lstrip("\ufeff")
        goes_on = bool(line.strip()) and (cfg.unit == "paragraph" or line[0].isspace())
        if texts and not goes_on:
            yield begun, "\n".join(texts)
            texts = []
        if line.strip():
            begun = begun if texts else number
            texts.append(line)
    if texts:
        yield begun, "\n".join(texts)


def _articles(path: Path, cfg: Config, writer: Writer) -> Iterator[Article | Drop]:
    for line in parsed(path, cfg):
        if isinstance(line.found, Stop):
            yield writer.left(line.text, line.number, "not_parsed", str(line.found))
        else:
            yield _article(line, line.found, cfg)


def _article(line: Line, found: list[Found], cfg: Config) -> Article:
    article = Article(line.number)
    for one in found:
        text = re.sub(r"\s*\n\s*", " ", one.text)
        if one.name == "headword" and not article.headword:
            article.headword = text
        elif one.name == "pos":
            article.class_is("pos", text)
        elif one.name in ("gloss", "definition"):
            article.mean(cfg.pivot, [text])
        elif one.name == "example":
            article.examples.append(Example(text, line=line.number))
        elif one.name == "translation" and article.examples and not article.examples[-1].translations:
            article.examples[-1].translations.append((cfg.pivot, text))
        elif one.name == "translation":
            article.examples.append(Example("", [(cfg.pivot, text)], line.number))
        elif one.name in ("variant", "headword"):
            article.variants.append(text)
        elif one.name == "reference":
            article.refer("see", text)
        elif one.name == "homograph":
            article.homograph = text
        else:
            article.note(one.name, text)
    return article
