"""Read Praat TextGrids in the long and the short form: interval and point tiers as text and translation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from endonym.errors import DataError, Problem
from endonym.ingest.encoding import whole_text
from endonym.ingest.tiers import Annotation, Tier, TierConfig, read_tiers
from endonym.types import Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".textgrid",)
_TOKEN = re.compile(
    r'"((?:[^"]|"")*)"|<(exists|absent)>|(?<![\w\[.])([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\w\].])|!.*'
)
"""What Praat itself reads of a text file: quoted strings, flags and free-standing numbers; all else is for people."""


class Config(TierConfig):
    """Settings of reading TextGrids."""

    encoding: str = Field("", description="Encoding of the file; found when empty.")


def sniff(sample: Sample) -> float:
    """High where the file says that it is a TextGrid."""
    return 0.95 if re.search(r'ooTextFile.{0,60}"TextGrid"', sample.head[:400], re.S) else 0.0


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield the labels tier by tier; phones, words, notes and pauses go to the ledger. Raises DataError for a broken file."""
    yield from read_tiers(path, list(_tiers(path, cfg.encoding)), cfg, "textgrid")


class _Tokens:
    """The values of a TextGrid one after the other, each asked for by what it must be."""

    def __init__(self, path: Path, text: str):
        self.path, self.text, self.place = path, text, 0
        self.line, self.counted = 1, 0

    def next(self, what: str) -> re.Match[str]:
        while found := _TOKEN.search(self.text, self.place):
            self.place = found.end()
            if not found[0].startswith("!"):
                self.line += self.text.count("\n", self.counted, found.start())
                self.counted = found.start()
                return found
        raise self.problem(what, "the file ends here", "the file is cut short; save it again in Praat")

    def problem(self, field: str, what: str, repair: str) -> DataError:
        return DataError(Problem(self.path.name, self.line, field, what, repair))

    def string(self, what: str) -> str:
        found = self.next(what)
        if found[1] is None:
            raise self.problem(
                what, f"a quoted text must stand here, not {found[0]}", "put it in quotes, and double quotes inside"
            )
        return found[1].replace('""', '"')

    def number(self, what: str) -> float:
        found = self.next(what)
        if found[3] is None:
            raise self.problem(
                what, f"a number must stand here, not {found[0][:40]}", "compare the file with one that Praat saved"
            )
        return float(found[3])

    def flag(self, what: str) -> bool:
        found = self.next(what)
        if found[2] is None:
            raise self.problem(
                what, f"<exists> or <absent> must stand here, not {found[0][:40]}", "save it again in Praat"
            )
        return found[2] == "exists"


def _tiers(path: Path, encoding: str) -> Iterator[Tier]:
    tokens = _Tokens(path, whole_text(path, encoding).lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n"))
    kinds = (tokens.string("File type"), tokens.string("Object class"))
    # Praat of before 2001 named the short form in the first line.
    if kinds not in (("ooTextFile", "TextGrid"), ("ooTextFile short", "TextGrid")):
        raise tokens.problem("Object class", f"this is a {' '.join(kinds)}, not a TextGrid", "select the TextGrid in Praat and save it as text file")  # fmt: skip
    tokens.number("xmin")
    tokens.number("xmax")
    if not tokens.flag("tiers?"):
        return
    for place in range(int(tokens.number("size"))):
        kind, name = tokens.string("class"), tokens.string("name")
        if kind not in ("IntervalTier", "TextTier"):
            raise tokens.problem("class", f"there is no kind of tier '{kind}'", "it is IntervalTier or TextTier")
        tokens.number("xmin")
        tokens.number("xmax")
        tier = Tier(name)
        for number in range(int(tokens.number("size"))):
            begin = tokens.number("time")
            end = tokens.number("xmax") if kind == "IntervalTier" else begin
            text = tokens.string("text")
            tier.annotations.append(Annotation(begin, end, text.strip(), tokens.line, key=f"{place}.{number}"))
        yield tier
