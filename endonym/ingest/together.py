"""Files that are one dictionary in several files: StarDict's and dictd's index and text, the tables a CLDF metadata file names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_PART = re.compile(r"(.+?)\.(?:ifo|idx|idx\.gz|idx\.oft|syn|syn\.dz|syn\.oft|dict|dict\.dz|index)", re.I)
STARDICT = (".idx", ".idx.gz", ".idx.oft", ".syn", ".syn.dz", ".syn.oft", ".dict", ".dict.dz")
"""`.oft` are caches that programs leave beside the files; they hold no text."""
DICTD = (".dict", ".dict.dz")
ABOUT = ("README.md", "requirements.txt")
"""What the tools that make CLDF put beside the tables: about the data, no data."""
MAX_METADATA = 4 * 2**20


def together(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    """Main file -> the files beside it that are read with it; a file that belongs to none stands for itself.

    Naming any file of a StarDict or dictd dictionary means all of it.
    """
    found: dict[Path, list[Path]] = {}
    for path in paths:
        main = main_of(path)
        found.setdefault(main, beside(main))
    owned = {other.resolve() for others in found.values() for other in others}
    return {main: others for main, others in found.items() if main.resolve() not in owned}


def main_of(path: Path) -> Path:
    """The file that stands for the dictionary `path` is a part of; `path` itself when there is none."""
    part = _PART.fullmatch(path.name)
    mains = (path.with_name(f"{part[1]}{suffix}") for suffix in (".ifo", ".index")) if part else ()
    return next((main for main in mains if main.is_file()), path)


def beside(main: Path) -> list[Path]:
    """The other files of the dictionary `main` stands for."""
    suffix = main.suffix.lower()
    names: list[str] = []
    if suffix in (".ifo", ".index"):
        names = [main.stem + end for end in (STARDICT if suffix == ".ifo" else DICTD)]
    elif suffix == ".json" and (about := metadata(main)):
        names = [
            name for table in about["tables"] for name in (str(table.get("url", "")), f"{table.get('url', '')}.zip")
        ]
        names += [str(about.get("dc:source", "")), *ABOUT]
    # A name with a folder in it would lead out of the data set.
    return [
        main.with_name(name) for name in names if name and Path(name).name == name and main.with_name(name).is_file()
    ]


def metadata(path: Path) -> dict[str, Any] | None:
    """What the metadata file of a CLDF dictionary or corpus says; None for any other file."""
    try:
        if path.stat().st_size > MAX_METADATA:
            return None
        about = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(about, dict) or "cldf.clld.org" not in str(about.get("dc:conformsTo", "")):
        return None
    tables = about.get("tables")
    if isinstance(tables, list) and all(isinstance(table, dict) for table in tables):
        kinds = {str(table.get("dc:conformsTo", "")).rpartition("#")[2] for table in tables}
        return about if kinds & {"EntryTable", "ExampleTable"} else None
    return None
