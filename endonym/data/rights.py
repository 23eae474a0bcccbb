"""What may be done with a material: licence, attribution, consent and the restrictions its owners ask for, carried by each record."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.errors import did_you_mean
from endonym.types import Record

if TYPE_CHECKING:
    from endonym.project import Project

KEYS = ("licence", "attribution", "consent", "restrictions")
"""Settings of a `[[sources]]` table, and keys of the `meta` of every record that came from it."""


def problems_of(table: Mapping[str, Any]) -> list[str]:
    """What is wrong with the rights in a `[[sources]]` table, each with its repair."""
    found = [
        f"'{key}' must be a text, such as {key} = \"…\"." for key in KEYS[:3] if not isinstance(table.get(key, ""), str)
    ]
    named = table.get("restrictions", [])
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        return [*found, "'restrictions' must be a list of names, such as restrictions = [\"no-commercial\"]."]
    return [*found, *(f"unknown restriction '{name}'. {did_you_mean(name, known())} Put other conditions into 'consent'."
                      for name in named if name not in known())]  # fmt: skip


def rights_of(table: Mapping[str, Any]) -> dict[str, Any]:
    """The rights in a `[[sources]]` table, or in the meta of a record."""
    return {key: table[key] for key in KEYS if table.get(key)}


def together(metas: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The rights of what was made of several records: all licences, attributions and consents, and every restriction."""
    found: dict[str, Any] = {}
    for meta in metas:
        for key in KEYS[:3]:
            if meta.get(key):
                parts = [*found.get(key, ()), str(meta[key])]
                found[key] = tuple(dict.fromkeys(parts))
        found["restrictions"] = sorted({*found.get("restrictions", ()), *meta.get("restrictions", ())})
    joined = {key: " / ".join(found[key]) for key in KEYS[:3] if key in found}
    return {**joined, **({"restrictions": found["restrictions"]} if found.get("restrictions") else {})}


def with_rights(made: Record, record: Record) -> Record:
    """What was made of a record, with that record's rights."""
    rights = rights_of(record.meta)
    return replace(made, meta={**made.meta, **rights}) if rights else made


def known() -> tuple[str, ...]:
    """Names of the restrictions there are."""
    return tuple(_table())


def says(name: str) -> str:
    """A restriction in words."""
    return str(_table().get(name, {}).get("says", name))


def forbids_publication(name: str) -> bool:
    """Whether a model that learned from a material under this restriction may not be passed on."""
    return bool(_table().get(name, {}).get("forbids_publication"))


def closed(materials: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The restrictions on `materials` that forbid to pass on what learned from them, each with the files it is about."""
    return {name: ", ".join(material["files"]) for material in materials for name in material.get("restrictions", ())
            if forbids_publication(name)}  # fmt: skip


def learned_from(project: Project, model: Path) -> list[dict[str, Any]]:
    """The sources that a model artifact learned from: files and rights as they were then, and what endonym.toml says of them now.

    A restriction that was added after training counts as well.
    """
    raw = project.ancestry(model).get("raw")
    sources = _manifest(raw).get("sources", []) if raw else []
    now = {name: source for source in project.sources for name in source["files"]}
    found = []
    for source in sources:
        tables = [source, *(now[name] for name in source["files"] if name in now)]
        found.append({"files": source["files"], **together(tables)})
    return found


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


@cache
def _table() -> dict[str, dict[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("restrictions.toml").read_text(encoding="utf-8"))
