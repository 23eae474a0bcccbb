"""Find text that was read in a wrong encoding (Ã± for ñ) and show what it should be; repaired only on request.

The repair is ftfy's (Speer 2019), which undoes a wrong decoding where the bytes say that it was one. Only that is asked of it:
quotes, ligatures and widths stay as they are. A text is left alone when it would have to lose a character.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable
from typing import Any

import regex
from pydantic import BaseModel, ConfigDict, Field

from endonym.clean.repairs import Repairs
from endonym.clean.texts import with_texts
from endonym.types import Drop, Keep, Record

_SUSPECT = regex.compile(r"[\u0080-\u00ff\u0100-\u017f\u0192\u02c6\u02dc\u2013-\u2122\u0370-\u0452\u2500-\u25ff]")
"""Characters that a wrong decoding makes; a text without any of them is not looked at further."""
RARE = ("macroman", "cp437")
"""Encodings of old machines, in which two marks of punctuation are soon some letter."""
MOST_CHANCE = 3
"""Characters that a repair must take off a text before one of these is believed."""
_LOST = regex.compile(r"[\ufffd\u0080-\u009f]")


class Config(BaseModel):
    """Settings of the mojibake filter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repair: bool = Field(
        False, description="Repair what was found; without it the repairs are shown and nothing changes."
    )


def sift(records: Iterable[Record], cfg: Config) -> Generator[Keep | Drop, None, dict[str, Any]]:
    """Keep every record; what looks misread is counted and shown, and repaired when `repair` is set."""
    repairs = Repairs("mojibake, text read in a wrong encoding", cfg.repair)
    for record in records:

        def change(text: str, language: str, record: Record = record) -> str:
            better = repaired(text)
            if better == text:
                return text
            kinds = Counter(wrong for wrong in _SUSPECT.findall(text) if wrong not in better)
            return repairs.found(record, language, text, better, kinds)

        yield Keep(with_texts(record, change))
    return repairs.as_json("--mojibake.repair")


def repaired(text: str) -> str:
    """The text with lines that were decoded wrongly decoded rightly; the text itself when none was."""
    if not _SUSPECT.search(text):
        return text
    return "\n".join(map(_line, text.split("\n")))


def _line(line: str) -> str:
    from ftfy import fix_encoding_and_explain
    from ftfy.badness import badness

    if not _SUSPECT.search(line):
        return line
    better, plan = fix_encoding_and_explain(line)
    rare = any(step.parameter in RARE for step in plan or ())
    if rare and len(line) - len(better) < MOST_CHANCE:
        return line
    if better == line or len(_LOST.findall(better)) > len(_LOST.findall(line)):
        return line
    # Each wrong decoding makes one character into two or more: a repair that is not shorter is another word, no repair.
    if len(better) >= len(line) or badness(better) >= max(1, badness(line)):
        return line
    return better
