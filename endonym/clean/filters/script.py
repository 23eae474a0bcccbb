"""Drop texts that are nearly all in another script than their language is written in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.languages import language
from endonym.data.scripts import count_scripts
from endonym.types import Drop, Keep, Record


class Config(BaseModel):
    """Settings of the script filter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of the letters that must be in a script of the language; names count as letters too.",
    )
    min_letters: int = Field(
        8, ge=1, description="Texts with fewer letters stay: names and signs may be in any script."
    )
    scripts: dict[str, list[str]] = Field(
        {}, description="ISO 15924 codes by language, where the built-in table is wrong for you."
    )


def sift(records: Iterable[Record], cfg: Config) -> Iterator[Keep | Drop]:
    """Keep records whose every text is in a script of its language; a language whose scripts are not known passes."""
    for record in records:
        fault = next((f for code, text in record.texts() if (f := _fault(code, text, cfg))), "")
        yield Drop(record, "script.other", fault) if fault else Keep(record)


def _fault(code: str, text: str, cfg: Config) -> str:
    allowed = cfg.scripts.get(code) or language(code).scripts if code else ()
    if not allowed or (text.isascii() and "Latn" in allowed):
        return ""
    counts = count_scripts(text)
    total = sum(counts.values())
    if total < cfg.min_letters or sum(counts[script] for script in allowed) >= cfg.min_share * total:
        return ""
    most, number = counts.most_common(1)[0]
    return f"{number} of {total} letters are {most}; {language(code).names.get('eng', code)} is written in {', '.join(allowed)}"
