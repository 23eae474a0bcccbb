"""Go through what the readers were not sure of: accept, correct or reject each page or recording passage."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from endonym.cli.console import Console
from endonym.cli.parser import open_project
from endonym.errors import UsageError
from endonym.ingest import review

if TYPE_CHECKING:
    from endonym.project import Project
    from endonym.types import Doc

KEYS = "[a]ccept  [c]orrect  [r]eject  [s]kip  [b]ack  [q]uit"


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `endonym review`."""
    parser.add_argument("--list", action="store_true", help="List what waits, and ask nothing.")
    parser.add_argument(
        "--open", action="store_true", help="Show a page in the browser, with the picture or sound beside the text."
    )
    parser.add_argument("--port", type=int, default=0, metavar="N", help="Port of that page. (default: a free one)")
    parser.add_argument(
        "--accept", action="append", default=[], metavar="ID", help="Accept the passage of this id, without asking."
    )
    parser.add_argument("--reject", action="append", default=[], metavar="ID", help="Reject it.")
    parser.add_argument(
        "--correct", nargs=2, action="append", default=[], metavar=("ID", "TEXT"), help="Put this text in its place."
    )
    parser.add_argument(
        "--by", default="", metavar="NAME", help="Who decides, kept with each decision. (default: your login name)"
    )
    parser.epilog = (
        "Decisions are kept in review.jsonl of the project, a line each, and are applied whenever the sources are read again: "
        "endonym ingest."
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Show what waits, and take decisions."""
    from endonym.ingest.review import decide, user

    project = open_project(args)
    queue = review.queue(project)
    who = args.by or user()
    given = [(i, "accept", "") for i in args.accept] + [(i, "reject", "") for i in args.reject]
    given += [(i, "correct", text) for i, text in args.correct]
    if given:
        known = {record.id: record for record, _ in queue}
        unknown = [ident for ident, _, _ in given if ident not in known]
        if unknown:
            raise UsageError(
                f"nothing of the id {unknown[0]} waits for review", "See the ids: endonym review --list --json"
            )
        made = [decide(project.path, known[ident], verdict, text, who) for ident, verdict, text in given]
        console.result(
            {"decided": [asdict(one) for one in made], "waiting": len(queue) - len(made)}, f"{len(made)} decided"
        )
    elif args.open:
        from endonym.cli.review_page import serve

        serve(project, queue, who, args.port, console)
    elif args.list or args.json or not sys.stdin.isatty():
        data = [review.as_json(record, why) for record, why in queue]
        console.result({"waiting": data}, "\n".join(_row(record, why) for record, why in queue))
        if not queue:
            console.say("nothing waits for review")
    else:
        _ask_all(project, queue, who, console)
    return 0


def _row(record: Doc, why: str) -> str:
    return f"{record.id}  {record.origin}  {why}\n    {record.text}"


def _ask_all(project: Project, queue: list[tuple[Doc, str]], who: str, console: Console) -> None:
    """One passage after the other. `back` takes the last decision back."""
    from endonym.ingest.review import decide

    done: list[int] = []
    at = decided = 0
    if not queue:
        console.say("nothing waits for review")
    while at < len(queue):
        record, why = queue[at]
        console.say(f"\n{at + 1} of {len(queue)}   {review.where(record)}\n  {why}\n\n  {record.text}\n")
        answer = _asked(f"{KEYS}: ")
        if answer == "q":
            break
        if answer == "b" and done:
            at = done.pop()
            decide(project.path, queue[at][0], "reopen", who=who)
            decided -= 1
        elif answer == "s":
            at += 1
        elif answer in ("a", "r", "c"):
            text = _corrected(record.text) if answer == "c" else ""
            if answer == "c" and not text:
                continue
            decide(project.path, record, {"a": "accept", "r": "reject", "c": "correct"}[answer], text, who)
            done.append(at)
            decided += 1
            at += 1
    console.say(f"\n{decided} decided, {len(queue) - decided} wait." + (" Next: endonym ingest" if decided else ""))


def _asked(question: str) -> str:
    try:
        return input(question).strip().lower()[:1]
    except EOFError:
        return "q"


def _corrected(text: str) -> str:
    """What the person makes of the text; it stands in the line to be changed where the terminal allows that."""
    try:
        import readline

        readline.set_startup_hook(lambda: readline.insert_text(text))
    except ImportError:
        return input("text: ").strip()
    try:
        return input("text: ").strip()
    finally:
        readline.set_startup_hook(None)
