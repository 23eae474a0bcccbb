"""Offer repairs that belong to one script: Arabic presentation forms and tatweel, Ethiopic and Devanagari sentence ends typed with other keys.

Nothing is changed unless its repair is named: each is counted and shown. Vedic marks, joiners, nukta and homophone letters are left
alone here, as everywhere in cleaning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable
from typing import Any, Literal

import regex
from pydantic import BaseModel, ConfigDict, Field

from endonym.clean.repairs import Repairs
from endonym.clean.texts import with_texts
from endonym.data.folding import plain_arabic
from endonym.types import Drop, Keep, Record

Repair = Literal["arabic_forms", "tatweel", "ethiopic_stops", "dandas"]
_TATWEEL = regex.compile(r"(?<=[\p{Arabic}])\u0640+|\u0640+(?=\p{Arabic})")
_ETHIOPIC_STOP = regex.compile(r"(?<=\p{Ethiopic}\s?)(?:፡\s?፡|::)(?![፡:])")
_BARS = regex.compile(r"(?<=[\p{Devanagari}0-9]\s?)\|{1,2}(?!\|)(?=\s|$|\p{Devanagari}|[0-9])")
_DEVANAGARI = regex.compile(r"\p{Devanagari}")
FORMS: dict[str, Callable[[str], str]] = {
    "arabic_forms": plain_arabic,
    "tatweel": lambda text: _TATWEEL.sub("", text),
    "ethiopic_stops": lambda text: _ETHIOPIC_STOP.sub("።", text),
    "dandas": lambda text: (
        _BARS.sub(lambda bar: "॥" if len(bar.group()) == 2 else "।", text) if _DEVANAGARI.search(text) else text
    ),
}


class Config(BaseModel):
    """Settings of the filter for forms of scripts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repair: list[Repair] = Field(
        [], description="Repairs to apply: arabic_forms, tatweel, ethiopic_stops, dandas; the others are only shown."
    )


def sift(records: Iterable[Record], cfg: Config) -> Generator[Keep | Drop, None, dict[str, Any]]:
    """Keep every record; forms that another key or program left are counted, and those named in `repair` are put right."""
    offered = {name: Repairs(name.replace("_", " "), name in cfg.repair) for name in FORMS}
    for record in records:

        def change(text: str, language: str, record: Record = record) -> str:
            if text.isascii():
                return text
            for name, form in FORMS.items():
                better = form(text)
                if better != text:
                    text = offered[name].found(record, language, text, better, Counter([name]))
            return text

        yield Keep(with_texts(record, change))
    facts = [repairs.as_json(f"--script_forms.repair {name}") for name, repairs in offered.items() if repairs.texts]
    return joined(facts)


def joined(facts: list[dict[str, Any]]) -> dict[str, Any]:
    """The facts of several repairs as those of one filter."""
    if not facts:
        return {}
    sums = {key: dict(sum((Counter(fact[key]) for fact in facts), Counter())) for key in ("kinds", "added", "removed")}
    lists = {key: [item for fact in facts for item in fact[key]] for key in ("repairs", "tables")}
    return {"texts": sum(fact["texts"] for fact in facts), **sums, **lists}
