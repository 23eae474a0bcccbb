"""What a model begins with: an alias of the catalog, a folder, or what another run of the project made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from endonym.errors import UsageError
from endonym.models.weights import catalog, validate

if TYPE_CHECKING:
    from endonym.project import Project


def known_base(name: str, project: Project | None = None) -> str:
    """A base model as `endonym.toml` names it: an alias of the catalog, or the whole path of a folder. Raises UsageError.

    Of a `project`, a run's number, name or folder stands for the weights that it made.
    """
    known = catalog()
    if name in known:
        return name
    run = run_of(name, project) if project else None
    if run is not None:
        return str(_made(run))
    try:
        folder = Path(name).expanduser()
        found = folder.is_dir()
    except (OSError, RuntimeError, ValueError):  # a name too long, or with NUL, or the home of nobody
        found = False
    if not found:
        hint = f"Give the folder of a Hugging Face model, or an alias: {', '.join(known)}."
        raise UsageError(f"there is no base model '{name[:80]}'", hint)
    return str(validate(folder))


def run_of(name: str, project: Project) -> Path | None:
    """Output of the project's run that is named by number, name or folder, or of another project's by its folder."""
    path = (project.path / Path(name).expanduser()).resolve()
    folder = path.parent if path.name == "output" else path
    if folder.parent == project.runs and folder.is_dir():
        return project.output(project.job(folder.name))
    if name.isdecimal() or (folder.name == name and (project.runs / name / "output").is_dir()):
        return project.output(project.job(name))
    return folder / "output" if (folder / "output").is_dir() and (folder / "job.json").is_file() else None


def _made(output: Path) -> Path:
    """The weights that a run left in `output`, a folder that loads by itself; raises UsageError where there are none."""
    for folder in (output / "weights", output, *sorted(output.glob("*/"))):
        if (folder / "config.json").is_file():
            return validate(folder)
    hint = "Name a run that trained or exported whole weights. See: endonym jobs ls"
    if (output / "adapter").is_dir():
        hint = "Put the adapter into the weights first, and name that run: endonym export merged"
    raise UsageError(f"the run {output.parent.name} holds no whole weights to begin with", hint)


def base_of(output: Path) -> Path:
    """The base that the training run with this `output` began with, as its `model.json` tells."""
    return (output / str(json.loads((output / "model.json").read_text(encoding="utf-8"))["base"])).resolve()


def origin(folder: Path) -> Path:
    """The base that stands behind the weights in `folder`: of those that a run made, what the first of the runs began with."""
    while (folder.parent / "model.json").is_file() and (earlier := base_of(folder.parent)) != folder.resolve():
        folder = earlier
    return folder
