"""Tell what training would need, as `endonym plan train` does."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from typing import Any

from endonym.errors import MissingError
from endonym.jobs.submit import based, find_inputs, prepare, resolve_job
from endonym.project import Project


def needed(project: str, verb: str, plugin: str, settings: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Memory, seconds and disk of a training run, the settings it would have, and in words what cannot be had.

    Before any material is read, memory and disk are guessed and the time is null.
    """
    home = Project(project)
    told, notes = _lesson(home, settings) if verb == "teach" else _training(home, plugin, settings)
    if told["fits"] is False:
        words = f"lighter it may: {', '.join(told['lighter'])}; training does so by itself" if told["lighter"] else (
            "take a smaller base, a lower rank or shorter rows, or close other programs"
        )  # fmt: skip
        notes.append(f"it does not fit the free memory; {words}")
    free = shutil.disk_usage(home.path).free
    if told["disk_bytes"] > free:
        notes.append("the disk has no room for it: make room first, or the run will wait")
    yield "done", {**told, "free_disk_bytes": free, "notes": notes}


def _training(home: Project, recipe: str, settings: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    resolved = resolve_job(home, "train", recipe, settings, None)
    try:
        inputs = find_inputs(home, resolved, {})
    except MissingError:
        ((_, (_, cfg)),) = resolved.plugins.items()
        return _roughly(home, cfg.model_dump())
    taken = {name: job for name, job in inputs.items() if isinstance(job, int)}
    return resolved.stage.module.foretell(resolved.plugins, based(home, resolved), taken), []


def _lesson(home: Project, settings: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    from endonym.teach import apart
    from endonym.teach.mapping import look, mapped

    _, resolved, _ = prepare(home, "teach", "", settings, {}, None)
    home = based(home, resolved)
    try:
        found = apart.answer(apart.request(resolved.config, home))
    except MissingError:
        # How many rows there will be is not known: what is said of few steps is said where the settings alone make them few.
        chosen = mapped(resolved.config, sys.maxsize, look(home.base))
        told, notes = _roughly(home, chosen.settings)
        return told | {"recipe": chosen.recipe}, notes + chosen.notes
    return found["forecast"] | {"recipe": found["recipe"], "settings": found["settings"]}, list(found["notes"])


def _roughly(home: Project, settings: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What can be said before any material is read: memory and disk by the size of the base, and no time."""
    from endonym.models.load import device, on_device
    from endonym.models.needs import TOKENS_AT_ONCE, to_train
    from endonym.train.forecast import available_bytes
    from endonym.train.settings import KEEP

    needs = to_train(home.base, settings.get("batch_tokens", TOKENS_AT_ONCE), settings.get("rank", 0), KEEP + 1)
    with on_device(settings.get("device", "auto")):
        free, where = available_bytes(), device().type
    told = {
        "memory_bytes": needs.memory_bytes, "disk_bytes": needs.disk_bytes, "seconds": None, "steps": None, "lighter": [],
        "free_bytes": free, "fits": None if free is None else needs.memory_bytes <= free, "device": where,
    }  # fmt: skip
    return told, ["a rough guess by the size of the base: once the material is read, memory and time are worked out"]
