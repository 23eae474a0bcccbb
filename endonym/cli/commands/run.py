"""Run the whole plan: from your material to a trained, measured and exported model."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from endonym.cli.console import Console, near, seconds
from endonym.cli.follow import Watcher, guarded
from endonym.cli.parser import open_project
from endonym.cli.scores import score_rows, score_table

if TYPE_CHECKING:
    from endonym.project import Project


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `endonym run`."""
    group = parser.add_argument_group("Options")
    group.add_argument(
        "--plan",
        type=Path,
        metavar="FILE",
        help="A TOML file with steps and settings. (default: the project's own, else the usual steps)",
    )
    group.add_argument("--detach", action="store_true", help="Start it in the background and return at once.")
    parser.epilog = "Steps whose result exists are skipped. Ctrl-C saves and stops; running again goes on from there."


def run(args: argparse.Namespace, console: Console) -> None:
    """Run the plan of the project."""
    project = open_project(args)
    if args.detach:
        _detach(project, args.plan, console)
    else:
        run_and_show(project, args.plan, console)


def run_and_show(project: Project, plan: Path | None, console: Console) -> None:
    """Run the plan, then print the scores and where the report is."""
    from endonym.jobs.plan import run_plan

    watcher = Watcher(console)
    started = time.monotonic()
    ran: list[str] = []

    def on_step(number: int, total: int, name: str, state: str) -> None:
        watcher.begin(name)
        if state == "running":
            ran.append(name)
            console.say(f"[{number}/{total}] {name}")

    jobs = guarded(project, console, watcher, lambda: run_plan(project, plan, on_step, watcher))
    if not ran:
        console.say(f"nothing to do: all {len(jobs)} steps are done, and nothing they depend on has changed")
    else:
        console.say(f"done: {len(ran)} of {len(jobs)} steps ran, in {seconds(time.monotonic() - started)}")
    report = project.newest("report")
    page = report / "report.html" if report else None
    data = {
        "steps": [{"job": row.id, "name": row.name, "ran": row.name in ran or row.verb in ran} for row in jobs],
        "scores": score_rows(project),
        "report": str(page) if page else None,
    }
    shown = score_table(project)
    console.result(
        data, "\n".join(part for part in (shown and f"\n{shown}\n", page and f"report: {near(page)}") if part)
    )


def _detach(project: Project, plan: Path | None, console: Console) -> None:
    log = project.path / ".endonym" / "run.log"
    log.parent.mkdir(exist_ok=True)
    words = [sys.executable, "-m", "endonym", "run", "--project", str(project.path)]
    with log.open("ab") as file:
        process = subprocess.Popen(
            words + (["--plan", str(plan.resolve())] if plan else []),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    console.result({"pid": process.pid, "log": str(log)}, f"running in the background; it writes to {near(log)}")
