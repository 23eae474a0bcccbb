"""Run the whole job on the bundled example, a Tseltal dictionary, and show what came of it."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from endonym.cli.commands.run import run_and_show
from endonym.cli.console import Console, near
from endonym.cli.examples import example
from endonym.errors import UsageError, did_you_mean


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `endonym demo`."""
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path("demo"), metavar="DIR", help="Where to put it. (default: demo)"
    )
    parser.add_argument_group("Options").add_argument(
        "--plan",
        metavar="NAME",
        default="",
        help="Another plan of the example: 'full' takes about an hour on two cores.",
    )
    parser.epilog = "Running it again goes on where it stopped, and does nothing when all is done."


def run(args: argparse.Namespace, console: Console) -> None:
    """Copy the example and run its plan."""
    from endonym.models.weights import get
    from endonym.project import SETTINGS_FILE, Project

    folder = args.folder
    if not (folder / SETTINGS_FILE).is_file():
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} exists and is not an Endonym project", "Name another folder: endonym demo DIR")
        shutil.copytree(
            example("tseltal"), folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("runs", ".endonym")
        )
        console.say(f"copied the Tseltal example to {near(folder)}")
    project = Project(folder)
    plan = None
    if args.plan:
        plan = folder / f"{args.plan.removesuffix('.toml')}.toml"
        known = [path.stem for path in folder.glob("*.toml") if path.name != SETTINGS_FILE]
        if not plan.is_file():
            raise UsageError(f"the example has no plan '{args.plan}'", did_you_mean(args.plan, known))
    # Asked now, not after five minutes of preparing data: training needs it.
    get(project.base)
    run_and_show(project, plan, console)
    console.say(
        f'\nTry it:\n  endonym translate --project {near(folder)} "¿Dónde está tu casa?"\n  endonym chat --project {near(folder)}'
    )
