"""One `[[sources]]` table of a project: its reader, its checked settings, and its records with where they come from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from endonym import plugins
from endonym.config import Layer, raise_problems, validate
from endonym.data import rights
from endonym.errors import DataError, EndonymError, Problem
from endonym.ingest.ids import Ids
from endonym.ingest.review import Decisions
from endonym.types import Drop, Record, record_id

if TYPE_CHECKING:
    from endonym.project import Project

GLANCED = 40
"""Files of one source that `add` looks at when reading each takes long."""
LINKS = ("entry", "entries")
"""Keys of `meta` that hold ids of other records of the same source."""


@dataclass(frozen=True)
class Source:
    """A source ready to be read."""

    files: list[str]
    """Paths relative to the project folder."""
    reader: str
    module: ModuleType
    config: Any
    about: Mapping[str, Any]
    """`licence`, `attribution`, `consent`, `restrictions` and `source` (its name): put into the meta of every record."""


def open_source(project: Project, table: Mapping[str, Any], number: int = 0) -> Source:
    """Check one table and load its reader; the reader is found by sniffing when the table names none.

    Raises ConfigError for settings, UsageError for a reader that is not there, DataError for files.
    """
    files = [str(name) for name in table["files"]]
    missing = [name for name in files if not (project.path / name).is_file()]
    if missing:
        raise DataError([Problem(name, 0, "", "the file is not there", f"put it back, or: endonym sources remove {name}")
                         for name in missing])  # fmt: skip
    known = {"files", "reader", "settings", "name", *rights.KEYS}
    problems = [f"endonym.toml [[sources]] {number or files[0]}: unknown setting '{key}'. It knows: {', '.join(sorted(known))}."
                for key in table if key not in known]  # fmt: skip
    problems += [f"endonym.toml [[sources]] {number or files[0]}: {problem}" for problem in rights.problems_of(table)]
    reader = str(table.get("reader", "")) or _sniffed(project, files[0])
    module = plugins.load("reader", reader, project.path)
    config = configure(module, table.get("settings", {}), project, problems)
    raise_problems(problems, "Correct the table in endonym.toml, or: endonym sources remove " + files[0])
    about = {**rights.rights_of(table), "source": str(table.get("name") or Path(files[0]).name)}
    return Source(files, reader, module, config, about)


def configure(module: ModuleType, settings: Mapping[str, Any], project: Project, problems: list[str]) -> Any:
    """The reader's checked settings; `language` and `pivot` are the project's where they are not set."""
    filled = dict(settings)
    for name, value in (("language", project.language), ("pivot", project.pivot)):
        if name in module.Config.model_fields and not filled.get(name):
            filled[name] = value
    return validate(module.Config, [Layer("endonym.toml", filled)], "sources.settings", problems)


@contextmanager
def foreseen(name: str) -> Iterator[None]:
    """Turn an error that nobody foresaw, a fault of the reader, into a problem of the file it was reading, so that others go on."""
    try:
        yield
    except EndonymError:
        raise
    except OSError as error:
        what = f"it cannot be read: {error.strerror or error}"
        raise DataError(Problem(name, 0, "", what, "check that it is there and that you may open it")) from error
    except Exception as error:
        if os.environ.get("ENDONYM_DEBUG"):
            raise
        what = f"the reader failed: {type(error).__name__}: {error}"
        repair = "this is a fault in Endonym or a plugin; ENDONYM_DEBUG=1 shows where. Try another reader with --reader"
        raise DataError(Problem(name, 0, "", what, repair)) from error


def records(source: Source, project: Path, glance: bool = False) -> Iterator[Record | Drop]:
    """Yield what the reader finds, with ids that are unique in the project, origins relative to it, and the licence.

    What a person decided in review is put in its place. With `glance`, readers that take long show their beginning only.
    Raises DataError whose problems name the files relative to the project.
    """
    found = _read(source, project, glance)
    yield from Decisions(project).apply(found)


def _read(source: Source, project: Path, glance: bool) -> Iterator[Record | Drop]:
    read = source.module.read
    names = source.files
    if glance and hasattr(source.module, "glance"):
        read, names = source.module.glance, names[:GLANCED]
    folders = {Path(name).name: name for name in source.files}
    for name in names:
        ids = Ids()
        # Of files with one name in several folders it is the one that is read.
        folders[Path(name).name] = name
        try:
            with foreseen(Path(name).name):
                for item in read(project / name, source.config):
                    if isinstance(item, Drop):
                        yield replace(item, record=_stamped(item.record, source, name, folders, ids))
                    else:
                        yield _stamped(item, source, name, folders, ids)
        except DataError as error:
            raise DataError(
                [replace(p, file=folders.get(p.file, p.file)) for p in error.problems], error.hint
            ) from error


def _stamped(record: Record, source: Source, name: str, folders: Mapping[str, str], ids: Ids) -> Record:
    """The record as the project knows it. Links hold because all records of one `read` call share the file's name."""
    meta = {**record.meta, **source.about}
    for key in LINKS:
        value = meta.get(key)
        if isinstance(value, str):
            meta[key] = record_id(name, value)
        elif isinstance(value, list):
            meta[key] = [record_id(name, one) for one in value]
    file, _, line = record.origin.rpartition(":")
    origin = f"{folders[file]}:{line}" if file in folders else f"{name}:{line or record.origin}"
    return replace(record, id=ids(name, record.id), origin=origin, meta=meta)


def _sniffed(project: Project, name: str) -> str:
    from endonym.ingest.sniff import choose_reader

    return choose_reader(project.path / name, project.path)
