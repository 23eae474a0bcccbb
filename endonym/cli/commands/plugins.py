"""List the readers, filters, recipes, metrics and all other plugins, or show one's settings."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from endonym import plugins
from endonym.cli.console import Console, table
from endonym.cli.parser import open_project
from endonym.errors import EndonymError, UsageError, did_you_mean


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `endonym plugins`."""
    parser.usage = "endonym plugins [KIND] | show KIND NAME"
    parser.add_argument(
        "words", nargs="*", metavar="KIND | show KIND NAME", help="One kind only, or one plugin with its settings."
    )
    parser.epilog = (
        f"Kinds: {', '.join(plugins.KINDS)}. Yours go into plugins/KIND/ of the project; see docs/add-a-plugin.md."
    )


def run(args: argparse.Namespace, console: Console) -> None:
    """List plugins, or show one."""
    project = _project(args)
    words = [word for word in args.words if word not in ("ls", "list")]
    if words[:1] == ["show"]:
        if len(words) != 3:
            raise UsageError(
                "'endonym plugins show' takes a kind and a name", "Such as: endonym plugins show metric chrf"
            )
        _show(words[1], words[2], project, console)
        return
    if len(words) > 1:
        raise UsageError(f"what is '{words[1]}'?", f"To see one plugin: endonym plugins show {words[0]} {words[1]}")
    wanted = words[0] if words else ""
    kinds = [wanted] if wanted else list(plugins.KINDS)
    found = [plugin for kind in kinds for plugin in plugins.available(kind, project).values()]
    data = [{"kind": p.kind, "name": p.name, "origin": p.origin, "help": p.help, "path": str(p.path)} for p in found]
    rows = [(p.kind, p.name, p.origin, p.help) for p in found]
    console.result({"plugins": data}, table(rows, ("kind", "name", "from", "what it does")))
    if not found:
        console.say(f"there is no plugin of kind '{wanted}' yet")


def _show(kind: str, name: str, project: Path | None, console: Console) -> None:
    from endonym.cli.options import describe

    known = plugins.available(kind, project)
    if name not in known:
        raise UsageError(f"there is no {kind} '{name}'", did_you_mean(name, known))
    plugin = known[name]
    module = plugins.load(kind, name, project)
    fields = describe(module.Config)
    data: dict[str, Any] = {
        "kind": kind,
        "name": name,
        "origin": plugin.origin,
        "help": plugin.help,
        "path": str(plugin.path),
    }
    data |= {"requires": plugins.requires(plugin.path), "settings": fields}
    rows = [
        (f["name"], f["type"], "required" if f["required"] else _shown(f["default"]), f["description"]) for f in fields
    ]
    settings = table(rows, ("setting", "type", "default", "")) if rows else "It has no settings."
    console.result(data, f"{kind} {name}: {plugin.help}\n{plugin.path}\n\n{settings}")


def _shown(value: Any) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if text else "none"


def _project(args: argparse.Namespace) -> Path | None:
    try:
        return open_project(args).path
    except EndonymError:
        if args.project:
            raise
        return None
