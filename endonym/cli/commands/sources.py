"""List the files the project learns from, or take one out."""

from __future__ import annotations

import argparse
from typing import Any

from endonym.cli.console import Console, size, table
from endonym.cli.parser import actions, open_project
from endonym.ingest.withdraw import learned, remove


def options(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `endonym sources`."""
    add = actions(parser, default="ls")
    add("ls", "List the sources (what 'endonym sources' does).", "list")
    taken = add("remove", "Take a source out of endonym.toml and list the models that learned from it; its files stay.")
    taken.add_argument("source", metavar="SOURCE", help="Its number in the list, or one of its files.")


def run(args: argparse.Namespace, console: Console) -> None:
    """List sources, or remove one."""
    project = open_project(args)
    if args.action == "remove":
        removed = remove(project, args.source)
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
