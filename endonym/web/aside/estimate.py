"""Tell what training would need, as `endonym plan train` does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from endonym.data.dataset import Dataset
from endonym.jobs.submit import prepare
from endonym.project import Project


def needed(project: str, verb: str, plugin: str, settings: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Memory, seconds and disk of a training run, and in words what does not fit."""
    from endonym.train.forecast import planned

    home = Project(project)
    _, resolved, inputs = prepare(home, "train", plugin, settings, {}, None)
    ((name, (module, cfg)),) = resolved.plugins.items()
    data = Dataset(home.output(inputs["dataset"]), "train")
    taken = {key: home.output(one) for key, one in inputs.items() if isinstance(one, int)}
    asked, lighter = planned(name, module, cfg, data, home, taken)
    free = shutil.disk_usage(home.path).free
    disk = asked.checkpoint_bytes + asked.model_bytes
    notes = []
    if asked.fits is False:
        fitting = next((change for change, one in lighter if one.fits), "")
        notes.append(
            f"It does not fit the free memory; with {fitting} it does, with the same result, and training does so by itself."
            if fitting
            else "It does not fit the free memory: take a smaller base, a lower rank or shorter rows, or close other programs."
        )
    if disk > free:
        notes.append("The disk has no room for it: make room first, or the run will wait.")
    yield "done", {
        "memory_bytes": asked.memory.total, "memory": asdict(asked.memory), "free_bytes": asked.free_bytes,
        "fits": asked.fits, "seconds": asked.seconds, "steps": asked.steps, "device": asked.device,
        "disk_bytes": disk, "free_disk_bytes": free, "notes": notes,
    }  # fmt: skip
