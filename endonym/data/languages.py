"""Languages by code: their names, their own name, their scripts."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True)
class Language:
    """One language; an unknown code is its own name and allows any script."""

    code: str
    """ISO 639-3."""
    names: Mapping[str, str]
    """Name by the code of the language it is said in; under its own code stands its endonym."""
    scripts: tuple[str, ...] = ()
    """ISO 15924 codes it is written in; empty when not known."""

    @property
    def right_to_left(self) -> bool:
        return bool(self.scripts) and self.scripts[0] in ("Arab", "Hebr", "Thaa", "Syrc", "Nkoo", "Adlm")


@lru_cache(maxsize=1)
def _table() -> tuple[dict[str, Language], dict[str, str]]:
    data = tomllib.loads(Path(__file__).with_name("languages.toml").read_text(encoding="utf-8"))
    found, short = {}, {}
    for code, row in data.items():
        names = {key: said for key, said in row.items() if key not in ("own", "scripts", "alias")}
        names[code] = row.get("own", row["eng"])
        found[code] = Language(code, names, tuple(row.get("scripts", ())))
        for alias in row.get("alias", ()):
            short[alias] = code
    return found, short


def language(code: str) -> Language:
    """The language of a code (ISO 639-3, or a 639-1 code it has); an unknown code gives a Language named by the code."""
    found, short = _table()
    code = code.strip()
    key = code.lower().replace("_", "-").partition("-")[0]
    key = short.get(key, key)
    return found.get(key) or Language(key or code, {"eng": code})


def known(code: str) -> bool:
    """Whether the table has this code."""
    found, short = _table()
    return code.lower() in found or code.lower() in short


def name(code: str, said_in: str = "eng") -> str:
    """Name of a language, in the language `said_in` when the table has it, else in English."""
    names = language(code).names
    return names.get(said_in) or names["eng"]


def codes() -> list[str]:
    """All ISO 639-3 codes of the table."""
    return list(_table()[0])


def aliases() -> list[str]:
    """All other codes the table understands: ISO 639-1, and codes of members of a macrolanguage."""
    return list(_table()[1])
