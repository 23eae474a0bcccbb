"""Languages by code: their names, their own name, their scripts.

A table of our own knows some languages well; all others of ISO 639 are known by their codes and English names.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from endonym.errors import UsageError


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
    """The language of a code of any part of ISO 639, or one such as `pt-BR`; an unknown code gives a Language named by the code."""
    found, short = _table()
    code = code.strip()
    key = code.lower().replace("_", "-").partition("-")[0]
    key = short.get(key, key)
    return found.get(key) or _standard(key) or Language(key or code, {"eng": code})


def tag(code: str) -> str:
    """The code of a language as a `lang` attribute has it (RFC 5646): the one of two letters where there is one."""
    import iso639

    try:
        return iso639.Language.from_part3(code).part1 or code
    except iso639.LanguageNotFoundError:
        return code


@lru_cache(maxsize=256)
def _standard(code: str) -> Language | None:
    import iso639

    for part in ("part3", "part2b", "part1"):
        try:
            row = getattr(iso639.Language, f"from_{part}")(code)
        except iso639.LanguageNotFoundError:
            continue
        # A part 1 code of a language that the table knows by another code is an alias there.
        return _table()[0].get(row.part3) or Language(row.part3, {"eng": _plain(row.name)})
    return None


def meant(said: str) -> list[Language]:
    """What a person may mean by a code or a name in any language of the table: none, one, or all whose names hold this word.

    Three letters that stand for no language are taken as they are: not every language has a code.
    """
    word = said.strip().casefold()
    first = word.replace("_", "-").partition("-")[0]
    if first.isascii() and first.isalpha() and len(first) in (2, 3) and len(language(first).code) == 3:
        return [language(first)]
    names = _names()
    exactly = [code for code, own in names.items() if word in own]
    return [
        language(code) for code in exactly or [c for c, own in names.items() if any(word in n.split() for n in own)]
    ]


def beginning(said: str, most: int = 12) -> list[Language]:
    """Languages that somebody may be typing the name or the code of: best the whole, then a beginning, then a beginning of a word."""
    word = said.strip().casefold()
    if not word:
        return []
    ranked = []
    for code, names in _names().items():
        if word in names or word == code:
            rank = 0
        elif any(name.startswith(word) for name in names):
            rank = 1
        elif any(part.startswith(word) for name in names for part in name.split()):
            rank = 2
        else:
            continue
        ranked.append((rank, not known(code), min(map(len, names)), code))
    return [language(code) for *_, code in sorted(ranked)[:most]]


@lru_cache(maxsize=1)
def _names() -> dict[str, set[str]]:
    """All names of each language by its code, in small letters: those of the table, and those of the standard."""
    import iso639

    names = {code: {n.casefold() for n in row.names.values()} for code, row in _table()[0].items()}
    for row in iso639.ALL_LANGUAGES:
        if row.status == "A":
            names.setdefault(row.part3, set()).update(
                _plain(n).casefold() for n in (row.name, *(other.print for other in row.other_names or ()))
            )
    return names


def code_of(said: str, what: str) -> str:
    """ISO 639-3 code of the language that a code or a name stands for; `what` names it in the error. Raises UsageError."""
    found = meant(said)
    if len(found) == 1:
        # The table counts some languages among a larger one; who gives the code of such a one means it.
        return said if said in aliases() and len(said) == 3 else found[0].code
    if not found:
        raise UsageError(
            f"{what} {said!r} is no language known here",
            "Give its ISO 639-3 code, three letters such as tzh, or its English name. If it has none, take a code from qaa to qtz.",
        )
    shown = ", ".join(f"{one.code} ({name(one.code)})" for one in found[:12])
    raise UsageError(
        f"{what} {said!r} may be one of {len(found)} languages",
        f"Give the code of yours: {shown}" + (", …" if len(found) > 12 else "."),
    )


def _plain(name: str) -> str:
    """The standard's name without what it says in brackets: `Swahili (macrolanguage)`."""
    return name.partition(" (")[0]


def known(code: str) -> bool:
    """Whether our own table has this code; what is no more than listed by ISO is not guessed at from a file's name or a column's."""
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
