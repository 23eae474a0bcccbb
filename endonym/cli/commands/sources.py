"""List the files the project learns from, or take one out."""

from __future__ import annotations

import argparse
import re
import tomllib
from typing import TYPE_CHECKING, Any

from endonym.cli.console import Console, size, table
from endonym.cli.parser import actions, open_project
from endonym.errors import ConfigError, UsageError, did_you_mean

if TYPE_CHECKING:
    from endonym.project import Project


def options(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `endonym sources`."""
    add = actions(parser, default="ls")
    add("ls", "List the sources (what 'endonym sources' does).", "list")
    remove = add("remove", "Take a source out of endonym.toml; its files stay where they are.")
    remove.add_argument("source", metavar="SOURCE", help="Its number in the list, or one of its files.")


def run(args: argparse.Namespace, console: Console) -> None:
    """List sources, or remove one."""
    project = open_project(args)
    if args.action == "remove":
        removed = _remove(project, args.source)
        console.result({"removed": removed}, f"no longer a source: {', '.join(removed['files'])}")
        return
    rows = []
    for number, source in enumerate(project.sources, 1):
        for name in source["files"]:
            path = project.path / name
            state = size(path.stat().st_size) if path.is_file() else "missing"
            rows.append((number, name, source.get("reader", "guessed"), state, source.get("licence", "")))
    console.result({"sources": project.sources}, table(rows, ("", "file", "reader", "size", "licence"), right=[0, 3]))
    if not rows:
        console.say("no sources yet; add some with: endonym add FILES...")


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
