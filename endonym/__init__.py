"""Endonym teaches a language model your language or your field, on your machine, and proves what it learned.

`open_project("my-language").train("lora", steps=200)` does what `endonym train lora --steps 200` does in that folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from endonym.project import Project

__all__ = ["__version__", "create_project", "open_project"]

__version__ = "0.1.0"


def open_project(path: Path | str = ".") -> Project:
    """Open the project folder `path`; its methods are the verbs. Raises UsageError when it is not a project."""
    from endonym.project import Project

    return Project(path)


def create_project(path: Path | str, *, language: str, pivot: str = "eng", base: str = "smollm2-135m") -> Project:
    """Make a new project folder for `language` (ISO 639-3), taught through `pivot`, on the model `base`."""
    from endonym.project import Project

    return Project.create(path, language=language, pivot=pivot, base=base)
