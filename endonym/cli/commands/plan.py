"""Show what `endonym run` would do now, and why."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from endonym.cli.console import Console, table
from endonym.cli.parser import open_project


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `endonym plan`."""
    parser.add_argument_group("Options").add_argument(
        "--plan",
        type=Path,
        metavar="FILE",
        help="A TOML file with steps and settings. (default: the project's own, else the usual steps)",
    )
    parser.epilog = (
        'A plan is TOML: steps = ["ingest", "train lora", ...] and a table of settings for each verb, as in endonym.toml. '
        "A project can keep its steps in endonym.toml."
    )


def run(args: argparse.Namespace, console: Console) -> None:
    """Print the steps with their state and reason."""
    from endonym.jobs.plan import plan

    steps = plan(open_project(args), args.plan)
    rows = [(number, step.name, step.state, step.why) for number, step in enumerate(steps, 1)]
    data = {"steps": [{"name": step.name, **asdict(step)} for step in steps]}
    console.result(data, table(rows, ("", "step", "state", "why"), right=[0]))
    waiting = sum(step.state != "done" for step in steps)
    console.say(f"\n{waiting} of {len(steps)} steps to run: endonym run" if waiting else "\nnothing to do")
