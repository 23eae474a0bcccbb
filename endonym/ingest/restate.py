"""Change what `endonym.toml` says of the rights of a source, and leave every other line as it stands."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from endonym.config import to_toml
from endonym.data.rights import KEYS, problems_of
from endonym.errors import ConfigError
from endonym.ingest.withdraw import lines_of, number_of, rewrite

if TYPE_CHECKING:
    from endonym.project import Project


def restate(project: Project, which: str, rights: Mapping[str, Any]) -> dict[str, Any]:
    """Give the source that is number `which`, or has that file, these rights and return its table; an empty one is taken away.

    Comments behind a value that changes go with it. Raises ConfigError, changing nothing, for a restriction that is none, and where
    the table is written in a way that cannot be changed by lines; UsageError where there is no such source.
    """
    number = number_of(project, which)
    old = project.sources[number - 1]
    said = {key: rights[key] for key in KEYS if key in rights and (rights[key] or None) != old.get(key)}
    problems = problems_of(said)
    if problems:
        raise ConfigError(problems[0], "Restrictions are those in endonym/data/restrictions.toml.")
    new = {key: value for key, value in {**old, **said}.items() if key not in said or value}
    before, own, after = _parted(project, number)
    lines = _without(own, set(said))
    while lines and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
        after.insert(0, lines.pop())
    lines += to_toml({key: value for key, value in said.items() if value}).strip().splitlines()
    sources = [new if i == number else source for i, source in enumerate(project.sources, 1)]
    if not rewrite(project, "\n".join([*before, *lines, *after]), sources):
        raise ConfigError(f"source {number} cannot be changed in {project.file} safely", "Change its table by hand.")
    return new


def _parted(project: Project, number: int) -> tuple[list[str], list[str], list[str]]:
    """The lines before the settings of a source, those, and the lines after, its sub-tables first."""
    lines = list(lines_of(project, number))
    start = next((i for i, (_, inside) in enumerate(lines, 1) if inside), len(lines))
    end = next(
        (i for i in range(start, len(lines)) if not lines[i][1] or lines[i][0].lstrip().startswith("[")), len(lines)
    )
    text = [line for line, _ in lines]
    return text[:start], text[start:end], text[end:]


def _without(lines: list[str], keys: set[str]) -> list[str]:
    """The lines but those of these settings, which may go over several."""
    kept, at = [], 0
    while at < len(lines):
        # A setting ends where what was read of it is whole.
        end = next((i for i in range(at + 1, len(lines) + 1) if _read(lines[at:i]) is not None), at + 1)
        if not keys & (_read(lines[at:end]) or {}).keys():
            kept += lines[at:end]
        at = end
    return kept


def _read(lines: list[str]) -> dict[str, Any] | None:
    try:
        return tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError:
        return None
