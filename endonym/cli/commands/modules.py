"""Look at the domain modules of a trained model, measure what each is worth, and move them as files of their own."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from endonym.cli.console import Console, near, table
from endonym.cli.parser import actions, open_project
from endonym.errors import MissingError, UsageError
from endonym.models.bases import run_of
from endonym.store import jobs

if TYPE_CHECKING:
    from endonym.models.load import Loaded
    from endonym.project import Project


def options(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `endonym modules`."""
    add = actions(parser, default="ls")
    made = [
        add("ls", "List the modules of the newest model (what 'endonym modules' does).", "list"),
        add(
            "ablate", "Measure on validation texts what is lost without each module, and where the router sends texts."
        ),
        add("export", "Write modules to files of their own, with the hashes of their base and their texts."),
        add("import", "Put modules from files into a model, which is written to a new folder."),
        add("remove", "Take modules out of a model, which is written to a new folder."),
    ]
    for own in made:
        own.add_argument(
            "--model",
            metavar="RUN",
            help="A run's number or folder, or a model's (default: the newest that has modules).",
        )
    for own in (made[2], made[4]):
        own.add_argument("names", metavar="NAME", nargs="+", help="A module's name.")
    made[3].add_argument("files", metavar="FILE", nargs="+", type=Path, help="What 'endonym modules export' wrote.")
    for own in made[2:]:
        own.add_argument(
            "--to", metavar="DIR", type=Path, required=True, help="The folder to write to; it must not be there."
        )
    made[2].add_argument(
        "--despite-restrictions",
        action="store_true",
        help="Also when a source the model learned from forbids publication.",
    )


def run(args: argparse.Namespace, console: Console) -> None:
    """List, measure or move modules."""
    project = open_project(args)
    acts = {"ablate": _ablate, "export": _export, "import": _change, "remove": _change}
    acts.get(args.action, _ls)(args, project, _folder(project, getattr(args, "model", None)), console)


def _folder(project: Project, named: str | None) -> Path:
    """The model's folder; raises MissingError where there is none, or it has no modules."""
    if named is not None:
        folder = run_of(named, project) or Path(named)
        if _has_modules(folder):
            return folder
        hint = "Name a run that trained modules. See: endonym jobs ls"
        if (folder / "adapter").is_dir():
            hint = "It is an adapter: name the run with the modules that it stands on. See: endonym jobs ls"
        raise MissingError(f"there is no model with modules in {folder}", hint)
    made = [project.output(int(row["job"])) for row in jobs.artifacts(project.db, "model")]
    for folder in reversed(made):
        if _has_modules(folder):
            return folder
    raise MissingError("there is no model with modules", "Declare some in modules.toml, then: endonym train modules")


def _has_modules(folder: Path) -> bool:
    config = folder / "weights" / "config.json"
    return config.is_file() and "domain_bank" in config.read_text(encoding="utf-8")


def _ls(args: argparse.Namespace, project: Project, folder: Path, console: Console) -> None:
    bank = json.loads((folder / "weights" / "config.json").read_text(encoding="utf-8"))["domain_bank"]
    file = folder / "modules.json"
    found = {m["name"]: m for m in json.loads(file.read_text(encoding="utf-8"))["modules"]} if file.is_file() else {}
    rows = []
    for module in bank["modules"]:
        known = found.get(module["name"])
        layers = f"{module['layers'][0]}-{module['layers'][-1]}"
        worth = f"{known['worth']['value']:+.4f}" if known and known["texts"] else "-"
        verdict = known["verdict"] if known else "not measured"
        rows.append((module["name"], module["group"], module["rank"], layers, worth, verdict, module["description"]))
    header = ("module", "group", "rank", "layers", "worth", "", "")
    console.result({"model": str(folder), **bank, "measured": found}, table(rows, header, right=[2, 4]))


def _ablate(args: argparse.Namespace, project: Project, folder: Path, console: Console) -> None:
    from endonym.data.dataset import Dataset
    from endonym.models.nets.worth import Text, measure, tables
    from endonym.train.domains import declared, label
    from endonym.train.rows import chats_of

    chats = project.newest("chats")
    if chats is None:
        raise MissingError("there are no validation texts to measure on", "Make some with: endonym compose")
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    held = [c for c in chats_of(Dataset(chats, "train"), "valid") if c.answer]
    labels = label(held, declared(about["settings"]["declared"], project.path))
    found = measure(_load(folder), [Text(chat, labels.module.get(chat.id, "")) for chat in held])
    parts = [
        f"{t['title']}\n\n{table(t['rows'], t['header'], right=range(1, len(t['header']) - 1))}" for t in tables(found)
    ]
    console.result({"model": str(folder), **found}, "\n\n".join(parts))


def _export(args: argparse.Namespace, project: Project, folder: Path, console: Console) -> None:
    from endonym.data.rights import learned_from
    from endonym.export.run import check_restrictions
    from endonym.models.nets.banked import save_module

    teller: Any = SimpleNamespace(event=lambda kind, text: console.say(text))
    check_restrictions(learned_from(project, folder), args.despite_restrictions, teller)
    network: Any = _load(folder).model
    for name in args.names:
        network.bank.member(name)
    _make(args.to)
    written = []
    for name in args.names:
        written.append(args.to / f"{name}.safetensors")
        save_module(network.bank, name, written[-1])
    console.result({"files": [str(path) for path in written]}, "\n".join(near(path) for path in written))


def _change(args: argparse.Namespace, project: Project, folder: Path, console: Console) -> None:
    from endonym.models.nets.banked import load_module
    from endonym.store.files import write_json
    from endonym.train.finish import save_weights

    loaded = _load(folder)
    network: Any = loaded.model
    for name in args.names if args.action == "remove" else ():
        network.bank.remove(name)
    for file in args.files if args.action == "import" else ():
        load_module(network.bank, file)
    network.bank.solve()
    _make(args.to)
    save_weights(network, loaded.tokenizer, args.to / "weights")
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    write_json(args.to / "model.json", {**about, "modules_of": str(folder.resolve())})
    shutil.copyfile(folder / "curve.jsonl", args.to / "curve.jsonl")
    names = network.bank.names
    console.result(
        {"model": str(args.to), "modules": names}, f"{near(args.to)}: {len(names)} modules, {', '.join(names)}"
    )


def _load(folder: Path) -> Loaded:
    from endonym.models.load import load_artifact

    return load_artifact(folder, "float32")


def _make(folder: Path) -> None:
    """Make a folder that is not there yet; raises UsageError when it is."""
    if folder.exists():
        raise UsageError(f"{folder} is there already", "Name a new folder with --to.")
    folder.mkdir(parents=True)
