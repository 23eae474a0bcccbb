"""Find the example projects that come with the package, in a source checkout and in an installed wheel alike."""

from __future__ import annotations

from pathlib import Path

from endonym.errors import MissingError
from endonym.plugins import PACKAGE


def example(name: str) -> Path:
    """Folder of the bundled example `name`; raises MissingError when the installation lacks it."""
    for folder in (PACKAGE / "examples" / name, PACKAGE.parent / "examples" / name):
        if (folder / "endonym.toml").is_file():
            return folder
    raise MissingError(
        f"the example '{name}' did not come with this installation", "Install Endonym again, or use a source checkout."
    )
