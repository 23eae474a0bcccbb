"""List jobs, look into one, pause or cancel it, or let it go on."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from endonym.cli.console import Console, flat, near, seconds, table
from endonym.cli.follow import follow_job, last_event
from endonym.cli.parser import actions, open_project

if TYPE_CHECKING:
    from endonym.project import Project
    from endonym.store.jobs import JobRow


def options(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `endonym jobs`."""
    add = actions(parser, default="ls")
    add("ls", "List all jobs of the project (what 'endonym jobs' does).", "list")
    show = add("show", "Show one job: settings, inputs, numbers, error.")
    logs = add("logs", "Print what a job wrote, and follow it while it runs.")
    pause = add(
        "pause", "Ask a job, and those it started, to save and stop; it keeps its number and goes on when resumed."
    )
    cancel = add("cancel", "Ask a job, and those it started, to end.")
    resume = add("resume", "Let a job that did not finish go on from its last checkpoint.")
    for parser_of_one in (show, logs, pause, cancel, resume):
        parser_of_one.add_argument("job", type=int, metavar="JOB", help="Number of the job.")
    resume.add_argument("--detach", action="store_true", help="Start it and return at once.")


def run(args: argparse.Namespace, console: Console) -> None:
    """Do one action."""
    project = open_project(args)
    {"ls": _ls, "list": _ls, "show": _show, "logs": _logs, "pause": _stop, "cancel": _stop, "resume": _resume}[
        args.action
    ](project, args, console)


def _ls(project: Project, args: argparse.Namespace, console: Console) -> None:
    from endonym.store import jobs

    found = jobs.listing(project.db)
    rows = [(row.id, row.name, row.state.replace("_", " "), _took(row), _words(row)) for row in found]
    console.result(
        {"jobs": [asdict(row) for row in found]}, table(rows, ("job", "what", "state", "took", ""), right=[0, 3])
    )
    if not found:
        console.say("no jobs yet; start with: endonym run")


def _show(project: Project, args: argparse.Namespace, console: Console) -> None:
    from endonym.store import jobs

    jobs.notice_dead(project.db)
    row = jobs.get(project.db, args.job)
    folder = project.runs / row.folder
    lines = [
        ("job", f"{row.id}, {row.name}"),
        (
            "state",
            row.state.replace("_", " ")
            + (f" (asked to {asked})" if (asked := jobs.asked_of(row)) and row.state == "running" else ""),
        ),
        ("took", _took(row) or "-"),
        ("inputs", ", ".join(f"{name} from job {ids}" for name, ids in row.inputs.items()) or "-"),
        ("settings", _settings(row)),
        ("numbers", flat(row.summary) or "-"),
        ("folder", near(folder)),
    ]
    if row.error:
        lines += [("error", str(row.error.get("message", ""))), ("hint", str(row.error.get("hint", "")))]
    console.result({**asdict(row), "path": str(folder)}, table(lines))


def _logs(project: Project, args: argparse.Namespace, console: Console) -> None:
    from endonym.jobs.submit import follow
    from endonym.store import jobs

    row = jobs.get(project.db, args.job)
    if console.json:
        for event in follow(project, row.id):
            print(json.dumps(asdict(event), ensure_ascii=False), flush=True)
        return
    log = project.runs / row.folder / "log.txt"
    at = 0
    while True:
        row = jobs.get(project.db, args.job)
        if log.is_file():
            with log.open(encoding="utf-8", errors="replace") as file:
                file.seek(at)
                console.stream(file.read())
                at = file.tell()
        if row.state not in jobs.ACTIVE:
            return
        jobs.notice_dead(project.db)
        time.sleep(0.3)


def _stop(project: Project, args: argparse.Namespace, console: Console) -> None:
    from endonym.store import jobs

    jobs.notice_dead(project.db)
    ask = {"pause": jobs.request_pause, "cancel": jobs.request_cancel}[args.action]
    before, state = jobs.get(project.db, args.job).state, ask(project.db, args.job)
    words = f"job {args.job} is {state.replace('_', ' ')}"
    if state == "running":
        does = {"pause": "saves and stops", "cancel": "ends"}[args.action]
        words = f"job {args.job} {does} at its next safe point; go on with: endonym jobs resume {args.job}"
    elif before == state:
        words += f": nothing to {args.action}"
    console.result({"job": args.job, "state": state}, words)


def _resume(project: Project, args: argparse.Namespace, console: Console) -> None:
    from endonym.jobs.submit import resume

    before = last_event(project)
    row = resume(project, args.job)
    if row.id != args.job:
        console.say(f"job {args.job} ended as it did; its work goes on as job {row.id}")
    if not args.detach:
        row = follow_job(project, row.id, console, before)
    console.result(
        asdict(row), f"job {row.id} ({row.name}) {row.state.replace('_', ' ')}. {flat(row.summary)}".rstrip()
    )


def _took(row: JobRow) -> str:
    return seconds((row.finished or time.time()) - row.started) if row.started else ""


def _words(row: JobRow) -> str:
    if row.error:
        return str(row.error.get("message", "")).partition("\n")[0]
    return flat({k: v for k, v in row.summary.items() if k != "seconds"})


def _settings(row: JobRow) -> str:
    parts = [f"{k}={v}" for k, v in row.settings.get("stage", {}).items()]
    for name, values in row.settings.get("plugins", {}).items():
        parts += [f"{name}.{k}={v}" for k, v in values.items()] or [name]
    return ", ".join(parts) or "-"
