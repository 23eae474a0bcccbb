"""Whether an export may leave this computer: certified, unchanged since, and not against the wish of those whose material it learned from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from endonym.data.rights import closed, learned_from, says
from endonym.errors import ParityError, UsageError
from endonym.store.files import file_hash

if TYPE_CHECKING:
    from endonym.project import Project

CERTIFICATE = "parity.json"


def ready_to_ship(project: Project, folder: Path) -> list[str]:
    """The files to upload, the certificate last.

    Raises ParityError for a folder without certificate or with files that are not the certified ones, UsageError where a
    restriction forbids publication, also one that was added after the export.
    """
    path = folder / CERTIFICATE
    if not path.is_file():
        raise ParityError(f"{folder} holds no certificate", f"Delete {folder.parent} and export again.")
    known = json.loads(path.read_text(encoding="utf-8"))["files"]
    there = {p.name for p in folder.iterdir()} - {CERTIFICATE}
    changed = sorted(name for name in known if name in there and file_hash(folder / name) != known[name])
    changed += sorted(there ^ set(known))
    if changed:
        raise ParityError(
            f"{', '.join(changed)} changed since the export was certified",
            "Make the export again, and write into a copy.",
        )
    model = project.ancestry(folder).get("model")
    for name, files in closed(learned_from(project, model) if model else ()).items():
        raise UsageError(
            f"this model learned from {files}, which is '{name}': {says(name)}",
            "Ask its owners; when they agree, take the restriction out of endonym.toml.",
        )
    return [*sorted(known), CERTIFICATE]
