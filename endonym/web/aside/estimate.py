"""Tell what training would need, as `endonym plan train` does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

from endonym.jobs.submit import prepare
from endonym.project import Project


def needed(project: str, verb: str, plugin: str, settings: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Memory, seconds and disk of a training run, the settings it would have, and in words what cannot be had."""
    home = Project(project)
    _, resolved, inputs = prepare(home, verb, plugin, settings, {}, None)
    if verb == "teach":
        from endonym.teach.apart import answer, request

        found = answer(request(resolved.config, home))
        told, notes = found["forecast"], list(found["notes"])
        told |= {"recipe": found["recipe"], "settings": found["settings"]}
    else:
        told = resolved.stage.module.foretell(
            resolved.plugins, home, {k: v for k, v in inputs.items() if isinstance(v, int)}
        )
        notes = []
    if told["fits"] is False:
        words = f"lighter it may: {', '.join(told['lighter'])}; training does so by itself" if told["lighter"] else (
            "take a smaller base, a lower rank or shorter rows, or close other programs"
        )  # fmt: skip
        notes.append(f"it does not fit the free memory; {words}")
    free = shutil.disk_usage(home.path).free
    if told["disk_bytes"] > free:
        notes.append("the disk has no room for it: make room first, or the run will wait")
    yield "done", {**told, "free_disk_bytes": free, "notes": notes}
