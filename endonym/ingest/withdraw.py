"""Take a source out of a project, and tell which models learned from it."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.data.dataset import Dataset
from endonym.errors import ConfigError, UsageError, did_you_mean

if TYPE_CHECKING:
    from endonym.project import Project


def remove(project: Project, which: str) -> dict[str, Any]:
    """Take out the source that is number `which`, or has that file, and return its table; its files stay. Raises UsageError."""
    sources = project.sources
    for number, source in enumerate(sources, 1):
        if which in (str(number), *source["files"]):
            _cut(project, number)
            return source
    names = [name for source in sources for name in source["files"]]
    raise UsageError(f"there is no source '{which}'", f"{did_you_mean(which, names)} See: endonym sources")


def _cut(project: Project, number: int) -> None:
    """Remove the `number`-th `[[sources]]` table (with its sub-tables), leaving every other line as it stands.

    Raises ConfigError, changing nothing, when the file is written in a way that cannot be cut by lines.
    """
    kept, seen, inside = [], 0, False
    for line in project.file.read_text(encoding="utf-8").splitlines():
        head = line.strip().replace(" ", "")
        if head.startswith("[[sources]]"):
            seen += 1
            inside = seen == number
        elif re.match(r"\[{1,2}[^\[\]]+\]{1,2}(#.*)?$", head) and not head.startswith(("[sources.", "[[sources.")):
            inside = False
        if not inside:
            kept.append(line)
    text = "\n".join(kept).rstrip("\n") + "\n"
    left = [source for i, source in enumerate(project.sources, 1) if i != number]
    wanted = {**project.settings, "sources": left}
    if not _same(text, wanted):
        raise ConfigError(
            f"source {number} cannot be taken out of {project.file} safely", "Remove its [[sources]] table by hand."
        )
    project.file.write_text(text, encoding="utf-8")


def _same(text: str, wanted: dict[str, Any]) -> bool:
    try:
        return {"sources": [], **tomllib.loads(text)} == wanted
    except tomllib.TOMLDecodeError:
        return False


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
