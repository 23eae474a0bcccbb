"""List the files the project learns from, or take one out."""

from __future__ import annotations

import argparse
import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.cli.console import Console, size, table
from endonym.cli.parser import actions, open_project
from endonym.data.dataset import Dataset
from endonym.errors import ConfigError, UsageError, did_you_mean

if TYPE_CHECKING:
    from endonym.project import Project


def options(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `endonym sources`."""
    add = actions(parser, default="ls")
    add("ls", "List the sources (what 'endonym sources' does).", "list")
    remove = add(
        "remove", "Take a source out of endonym.toml and list the models that learned from it; its files stay."
    )
    remove.add_argument("source", metavar="SOURCE", help="Its number in the list, or one of its files.")


def run(args: argparse.Namespace, console: Console) -> None:
    """List sources, or remove one."""
    project = open_project(args)
    if args.action == "remove":
        removed = _remove(project, args.source)
        models = learned(project, removed["files"])
        console.result({"removed": removed, "models": models}, _told(removed, models))
        return
    rows = []
    for number, source in enumerate(project.sources, 1):
        for name in source["files"]:
            path = project.path / name
            state = size(path.stat().st_size) if path.is_file() else "missing"
            rows.append((number, name, source.get("reader", "guessed"), state, source.get("licence", ""),
                         ", ".join(source.get("restrictions", ()))))  # fmt: skip
    console.result(
        {"sources": project.sources},
        table(rows, ("", "file", "reader", "size", "licence", "restrictions"), right=[0, 3]),
    )
    if not rows:
        console.say("no sources yet; add some with: endonym add FILES...")


def learned(project: Project, files: list[str]) -> list[dict[str, Any]]:
    """The jobs whose artifacts hold what a model learned from one of these files: trained models, and exports made of them."""
    from endonym.store import jobs

    found = []
    for kind in ("model", "export"):
        for artifact in jobs.artifacts(project.db, kind):
            row = jobs.get(project.db, artifact["job"])
            seen = sources_of(project, project.output(row.id))
            if seen & set(files):
                found.append({"job": row.id, "kind": kind, "name": row.name, "folder": str(project.output(row.id))})
    return found


def sources_of(project: Project, artifact: Path) -> set[str]:
    """The source files that an artifact goes back to."""
    raw = project.ancestry(artifact).get("raw")
    if raw is None or not (raw / "manifest.json").is_file():
        return set()
    manifest = json.loads((raw / "manifest.json").read_text(encoding="utf-8"))
    if "sources" in manifest:
        return {name for source in manifest["sources"] for name in source["files"]}
    # Made before manifests named their sources: each record still says where it stands.
    return {record.origin.rpartition(":")[0] for record in Dataset(raw, "ingest").records()}


def _told(removed: dict[str, Any], models: list[dict[str, Any]]) -> str:
    lines = [
        f"no longer a source: {', '.join(removed['files'])}",
        "the next 'endonym run' makes the data again without it",
    ]
    if models:
        lines.append("these learned from it and still hold what they learned; delete or replace them if they must not:")
        lines += [f"  {model['name']}: {model['folder']}" for model in models]
    else:
        lines.append("no model learned from it")
    return "\n".join(lines)


def _remove(project: Project, which: str) -> dict[str, Any]:
    sources = project.sources
    for number, source in enumerate(sources, 1):
        if which in (str(number), *source["files"]):
            _cut(project, number)
            return source
    names = [name for source in sources for name in source["files"]]
    raise UsageError(f"there is no source '{which}'", f"{did_you_mean(which, names)} See: endonym sources")


def _cut(project: Project, number: int) -> None:
    """Remove the `number`-th `[[sources]]` table (with its sub-tables), leaving every other line as it stands.

    Raises ConfigError, changing nothing, when the file is written in a way that cannot be cut by lines.
    """
    kept, seen, inside = [], 0, False
    for line in project.file.read_text(encoding="utf-8").splitlines():
        head = line.strip().replace(" ", "")
        if head.startswith("[[sources]]"):
            seen += 1
            inside = seen == number
        elif re.match(r"\[{1,2}[^\[\]]+\]{1,2}(#.*)?$", head) and not head.startswith(("[sources.", "[[sources.")):
            inside = False
        if not inside:
            kept.append(line)
    text = "\n".join(kept).rstrip("\n") + "\n"
    left = [source for i, source in enumerate(project.sources, 1) if i != number]
    wanted = {**project.settings, "sources": left}
    if not _same(text, wanted):
        raise ConfigError(
            f"source {number} cannot be taken out of {project.file} safely", "Remove its [[sources]] table by hand."
        )
    project.file.write_text(text, encoding="utf-8")


def _same(text: str, wanted: dict[str, Any]) -> bool:
    try:
        return {"sources": [], **tomllib.loads(text)} == wanted
    except tomllib.TOMLDecodeError:
        return False
