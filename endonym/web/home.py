"""The folder that holds the projects: which there are, opening one for a request, making one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from endonym.data import languages
from endonym.errors import ConfigError, UsageError
from endonym.models.bases import known_base
from endonym.models.weights import catalog
from endonym.project import SETTINGS_FILE, Project
from endonym.web.errors import NotFoundError

LONGEST_NAME = 80
"""Characters of a project's name. A folder's name may have 255 bytes, and a character up to four of them after escaping."""


class Home:
    """A folder with project folders; a project's id is the name of its folder. With `paths`, models may be named by paths too."""

    def __init__(self, path: Path, *, paths: bool = True):
        self.path = path.resolve()
        self._paths = paths

    def names(self) -> list[str]:
        """The projects there are, by name. What only links to a folder elsewhere is none."""
        return sorted(folder.name for folder in self.path.iterdir() if self._is_project(folder))

    def folder(self, name: str) -> Path:
        """The folder of a project. Raises NotFoundError for anything that is not the name of one."""
        # Looked up in what there is, so that no name can lead anywhere else.
        if name not in self.names():
            raise NotFoundError(f"there is no project '{name[:LONGEST_NAME]}'", "See: GET /api/v1/projects")
        return self.path / name

    @contextmanager
    def opened(self, name: str) -> Iterator[Project]:
        """The project, with a database connection of its own that is closed at the end."""
        project = Project(self.folder(name))
        try:
            yield project
        finally:
            if "db" in vars(project):
                project.db.close()

    def create(self, name: str, language: str, pivot: str, base: str) -> str:
        """Make a project and return its id. Raises UsageError for a name that is taken and for languages and models that are none."""
        folder = _folder_name(name)
        if (self.path / folder).exists():
            raise UsageError(f"there is a folder '{folder}' already", "Choose another name.")
        language, pivot = languages.code_of(language, "language"), languages.code_of(pivot, "pivot")
        if language == pivot:
            raise ConfigError("a language is not taught through itself", "Choose another pivot.")
        Project.create(self.path / folder, language=language, pivot=pivot, base=self.base(base), name=name)
        return folder

    def base(self, name: str) -> str:
        """The base model of this name as a project keeps it. Raises UsageError where there is none, or it may not be named so."""
        return known_base(name if name in catalog() else str(self.path_of(name)))

    def allow(self, settings: Mapping[str, Any]) -> None:
        """Raises UsageError for settings of a job that name a base which may not be named so."""
        for name in ("baseModel", "base_model"):
            if said := settings.get(name):
                self.base(str(said))

    def path_of(self, said: str) -> Path:
        """A path on this computer that somebody typed. Raises UsageError for whoever may sit at another one."""
        if not self._paths:
            hint = f"Take one of the list: {', '.join(catalog())}."
            raise UsageError("models are not named by paths where the studio is open to the network", hint)
        try:
            path = Path(said).expanduser().resolve()
            path.exists()
            return path
        except (OSError, RuntimeError, ValueError) as error:  # too long, a loop of links, the home of nobody
            raise UsageError(f"'{said[:80]}' is no path", f"There are: {', '.join(catalog())}.") from error

    def _is_project(self, folder: Path) -> bool:
        return not folder.name.startswith(".") and not folder.is_symlink() and (folder / SETTINGS_FILE).is_file()


def _folder_name(name: str) -> str:
    """A name as a folder that every system can have: letters of any script, digits, `-`, `_`."""
    kept = re.sub(r"[^\w]+", "-", unicodedata.normalize("NFC", name)).strip("-_").lower()
    if not kept:
        raise UsageError("a name needs a letter or a digit", "Call it after its language, for example.")
    while len(kept.encode()) > LONGEST_NAME:
        kept = kept[:-1]
    return kept
