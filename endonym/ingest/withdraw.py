"""Take a source out of a project, and tell which models learned from it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.data.dataset import Dataset
from endonym.errors import ConfigError, UsageError, did_you_mean

if TYPE_CHECKING:
    from endonym.project import Project


def remove(project: Project, which: str) -> dict[str, Any]:
    """Take out the source that is number `which`, or has that file, and return its table; its files stay. Raises UsageError."""
    number = number_of(project, which)
    text = "\n".join(line for line, inside in lines_of(project, number) if not inside)
    taken = project.sources[number - 1]
    left = [source for i, source in enumerate(project.sources, 1) if i != number]
    if not rewrite(project, text, left):
        raise ConfigError(
            f"source {number} cannot be taken out of {project.file} safely", "Remove its [[sources]] table by hand."
        )
    return taken


def number_of(project: Project, which: str) -> int:
    """The number, from 1, of the source that is number `which`, or has that file. Raises UsageError."""
    for number, source in enumerate(project.sources, 1):
        if which in (str(number), *source["files"]):
            return number
    names = [name for source in project.sources for name in source["files"]]
    raise UsageError(f"there is no source '{which}'", f"{did_you_mean(which, names)} See: endonym sources")


def lines_of(project: Project, number: int) -> Iterator[tuple[str, bool]]:
    """The lines of `endonym.toml`, each with whether it belongs to the `number`-th `[[sources]]` table or its sub-tables."""
    seen, inside = 0, False
    for line in project.file.read_text(encoding="utf-8").splitlines():
        head = line.strip().replace(" ", "")
        if head.startswith("[[sources]]"):
            seen += 1
            inside = seen == number
        elif re.match(r"\[{1,2}[^\[\]]+\]{1,2}(#.*)?$", head) and not head.startswith(("[sources.", "[[sources.")):
            inside = False
        yield line, inside


def rewrite(project: Project, text: str, sources: list[dict[str, Any]]) -> bool:
    """Write `text` as `endonym.toml` if it says what the old one said but for its sources, which must be `sources`."""
    others = {name: table for name, table in project.settings.items() if name != "sources"}
    return project.rewrite(text, {**others, **({"sources": sources} if sources else {})})


def learned(project: Project, files: list[str]) -> list[dict[str, Any]]:
    """The jobs whose artifacts hold what a model learned from one of these files: trained models, and exports made of them."""
    from endonym.store import jobs

    found = []
    for kind in ("model", "export"):
        for artifact in jobs.artifacts(project.db, kind):
            row = jobs.get(project.db, artifact["job"])
            seen = sources_of(project, project.output(row.id))
            if seen & set(files):
                found.append({"job": row.id, "kind": kind, "name": row.name, "folder": str(project.output(row.id))})
    return found


def sources_of(project: Project, artifact: Path) -> set[str]:
    """The source files that an artifact goes back to."""
    raw = project.ancestry(artifact).get("raw")
    if raw is None or not (raw / "manifest.json").is_file():
        return set()
    manifest = json.loads((raw / "manifest.json").read_text(encoding="utf-8"))
    if "sources" in manifest:
        return {name for source in manifest["sources"] for name in source["files"]}
    # Made before manifests named their sources: each record still says where it stands.
    return {record.origin.rpartition(":")[0] for record in Dataset(raw, "ingest").records()}
