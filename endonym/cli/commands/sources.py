"""List the files the project learns from, change the rights of a source, or take one out."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from endonym.cli.console import Console, size, table
from endonym.cli.parser import actions, open_project
from endonym.data.rights import KEYS, rights_of
from endonym.errors import UsageError
from endonym.ingest.restate import restate
from endonym.ingest.withdraw import learned, remove

if TYPE_CHECKING:
    from endonym.project import Project


def options(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `endonym sources`."""
    add = actions(parser, default="ls")
    add("ls", "List the sources (what 'endonym sources' does).", "list")
    taken = add("remove", "Take a source out of endonym.toml and list the models that learned from it; its files stay.")
    taken.add_argument("source", metavar="SOURCE", help="Its number in the list, or one of its files.")
    stated = add("rights", "Change what endonym.toml says of the rights of a source; what is not named stays.")
    stated.add_argument("source", metavar="SOURCE", help="Its number in the list, or one of its files.")
    for name, words in (
        ("licence", "Licence of the material."),
        ("attribution", "Whom to credit."),
        ("consent", "Who agreed to this use and on what terms."),
    ):
        stated.add_argument(f"--{name}", metavar="TEXT", help=f'{words} "" takes it away.')
    stated.add_argument(
        "--restriction", metavar="NAME", action="append", dest="restrictions",
        help='What its owners ask for, such as no-publication; may be given more than once. "" takes all away.',
    )  # fmt: skip


def run(args: argparse.Namespace, console: Console) -> None:
    """List sources, change the rights of one, or remove one."""
    project = open_project(args)
    if args.action == "rights":
        _rights(project, args, console)
        return
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


def _rights(project: Project, args: argparse.Namespace, console: Console) -> None:
    said = {key: value for key in KEYS if (value := getattr(args, key)) is not None}
    if not said:
        raise UsageError("nothing is to be changed", "Name it: endonym sources rights 1 --licence TEXT")
    if "restrictions" in said:
        said["restrictions"] = [name for name in said["restrictions"] if name]
    source = restate(project, args.source, said)
    rights = rights_of(source)
    shown = [(key, ", ".join(value) if isinstance(value, list) else value) for key, value in rights.items()]
    console.result({"source": source}, table(shown, ("", ", ".join(source["files"]))))
    console.say("\nexports ask for these at once; records and models made from now on carry them")


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
