"""Guess which column plays which part from its name, by a table of names that can be read and extended."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from endonym.data import languages
from endonym.errors import DataError, Problem, did_you_mean


@lru_cache(maxsize=1)
def _names() -> dict[str, list[str]]:
    table = tomllib.loads(Path(__file__).with_name("columns.toml").read_text(encoding="utf-8"))
    return {role: [plain(name) for name in names] for role, names in table.items()}


def plain(name: str) -> str:
    """A column name reduced to its letters and digits in lower case."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFC", name).casefold())


def guess(columns: Iterable[str], role: str, taken: Iterable[str] = ()) -> str:
    """The column that plays `role` by its name, `""` when none does. Columns already taken are left out."""
    free = {plain(column): column for column in columns if column not in set(taken)}
    return next((free[name] for name in _names()[role] if name in free), "")


def is_column_name(cell: str) -> bool:
    """Whether a cell is a name that columns have: one of the table, or a language."""
    word = plain(cell)
    return any(word in names for names in _names().values()) or bool(language_of(cell))


def language_of(column: str) -> str:
    """Code of the language a column is named after (`spa`, `es`, `Spanish`, `español`, `text_tzh`), `""` when none."""
    word = plain(column)
    if word in _names()["id"]:
        return ""
    found = _by_name().get(word, "")
    if found:
        return found
    for piece in reversed(re.split(r"[\W_]+", column.casefold())):
        # A piece of a name must be a whole three-letter code: `de` in `fecha_de_alta` is no German.
        if len(piece) == 3 and languages.known(piece):
            return languages.language(piece).code
    return ""


def sides(columns: Sequence[str]) -> list[str]:
    """Columns that hold text in a language: named after one, or as the source or target of a translation."""
    named = {language_of(column): column for column in reversed(columns) if language_of(column)}
    rest = [column for column in columns if not language_of(column)]
    return [*reversed(named.values()), *filter(None, (guess(rest, "source"), guess(rest, "target")))]


@lru_cache(maxsize=1)
def _by_name() -> dict[str, str]:
    found: dict[str, str] = {}
    for code in languages.codes():
        one = languages.language(code)
        for word in (*one.names.values(), code):
            found.setdefault(plain(word), code)
    for alias in languages.aliases():
        found.setdefault(alias, languages.language(alias).code)
    return found


def need(path: Path, columns: Sequence[str], wanted: str, what: str, setting: str) -> str:
    """`wanted` when the file has this column; raises DataError that names those it has."""
    if wanted in columns:
        return wanted
    shown = ", ".join(f"'{column}'" for column in columns)
    if wanted:
        said, repair = f"there is no column '{wanted}'", f"{did_you_mean(wanted, columns)} It has: {shown}."
    else:
        said, repair = (
            f"no column was recognised as {what}",
            f'name it in the source\'s settings ({setting} = "..."); it has: {shown}',
        )
    raise DataError(Problem(path.name, 1, setting, said, repair))
