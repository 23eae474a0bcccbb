"""Add files to a project: find out what each is, say so, and write it to endonym.toml."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.data.rights import known as known_restrictions
from endonym.data.rights import problems_of
from endonym.errors import Problem, UsageError
from endonym.ingest.finding import Finding
from endonym.ingest.review import FILE
from endonym.ingest.sniff import look, shown
from endonym.project import SETTINGS_FILE, STATE_FOLDER
from endonym.store.files import file_hash

if TYPE_CHECKING:
    from endonym.project import Project


def add(
    project: Project,
    paths: Iterable[Path | str],
    *,
    reader: str = "",
    settings: Mapping[str, Any] | None = None,
    licence: str = "",
    attribution: str = "",
    consent: str = "",
    restrictions: Iterable[str] = (),
) -> list[Finding]:
    """Add files (of a folder: all in it) as sources. A file that cannot be read does not stop the others.

    What belongs to the project itself (its settings, runs and plugins) is passed over: a run holds the sealed test. Files
    outside the project are copied into its `raw/`. Findings with `problems` were not added; those already in endonym.toml are
    left as they are. Raises UsageError for a restriction that is none.
    """
    named = list(dict.fromkeys(restrictions))
    problems = problems_of({"restrictions": named})
    if problems:
        raise UsageError(problems[0], f"There are: {', '.join(known_restrictions())}.")
    files = [path for path in dict.fromkeys(_files(paths)) if not _own(project, path)]
    present = {str(name) for source in project.sources for name in source["files"]}
    known = [path for path in files if shown(project, path) in present]
    findings = [Finding([shown(project, path)], good_for="already a source; nothing changed") for path in known]
    for finding in look(project, [path for path in files if path not in known], reader, settings):
        finding.licence, finding.attribution = licence, attribution
        finding.consent, finding.restrictions = consent, named
        if finding.ok:
            _bring(project, finding)
        if finding.ok and not set(finding.files) <= present:
            project.add_source(finding.table())
            present.update(finding.files)
            finding.added = True
        elif finding.ok:
            finding.good_for = "the same file is already a source; nothing changed"
        findings.append(finding)
    return findings


DEEPEST = 3
"""Folders that are kept of the place a file came from where its name alone is taken."""


def _files(paths: Iterable[Path | str]) -> Iterator[Path]:
    for path in map(Path, paths):
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
        else:
            yield path


def _own(project: Project, path: Path) -> bool:
    """Whether a file is the project's own and no material."""
    full = path.resolve()
    own = (project.runs, project.path / STATE_FOLDER, project.path / "plugins")
    return (
        any(folder in full.parents for folder in own)
        or (full.name == SETTINGS_FILE and full.is_file())
        or full in (project.path / FILE, project.path / "ratings.jsonl")
    )


def _bring(project: Project, finding: Finding) -> None:
    """Copy files that lie outside the project into `raw/`, beside another file of their name with the folders they came from.

    A folder named after one of the project's languages says the language of what is in it, and stays.
    """
    paths = [Path(name) for name in finding.files]
    outside = [path for path in paths if path.is_absolute()]
    flat = not any(path.parent.name.lower() in (project.language, project.pivot) for path in outside)
    for folders in range(0 if flat else 1, DEEPEST + 1):
        free = {path: "/".join(("raw", *path.parts[1:][-1 - folders :])) for path in outside}
        taken = [path for path, name in free.items() if _is_another(path, project.path / name)]
        if not taken:
            break
    else:
        finding.problems.append(Problem(str(taken[0]), 0, "", f"{free[taken[0]]} is there already and is another file",
                                        "rename one of the two"))  # fmt: skip
        return
    for path, name in free.items():
        target = project.path / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            finding.notes.append(f"copied to {name}")
    finding.files = [free.get(path, name) for path, name in zip(paths, finding.files)]


def _is_another(path: Path, target: Path) -> bool:
    return target.exists() and file_hash(target) != file_hash(path)
