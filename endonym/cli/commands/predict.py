"""Let a trained head judge a text, or every line of standard input: its class, its names, an answer that stands in it, or its vector."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from endonym.cli.console import Console
from endonym.cli.parser import open_project
from endonym.errors import MissingError, UsageError


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `endonym predict`."""
    parser.add_argument(
        "text", nargs="*", metavar="TEXT", help="What to judge. (default: every line of standard input)"
    )
    parser.add_argument(
        "--model", type=int, metavar="JOB", help="The train job whose head judges. (default: the newest head)"
    )
    parser.add_argument("--export", type=int, metavar="JOB", help="The export job whose ONNX graph judges instead.")
    parser.add_argument("--question", metavar="QUESTION", default="", help="What to look for in the text.")


def run(args: argparse.Namespace, console: Console) -> None:
    """Print one verdict a text."""
    project = open_project(args)
    texts = [" ".join(args.text)] if args.text else None
    if texts is None and sys.stdin.isatty():
        raise UsageError("nothing to judge", 'Give a text: endonym predict "..."; or pipe lines into it.')
    folder = project.output(args.export) if args.export is not None else _newest(project, args.model)
    console.say("loading the model ...")
    from endonym.models.heads import Asked, in_words, load_judge

    judge = load_judge(folder)
    if judge.config.kind == "answer" and not args.question:
        raise UsageError(
            "this head finds answers, and there is no question", 'Ask: endonym predict TEXT --question "..."'
        )
    for text in texts if texts is not None else (line.strip() for line in sys.stdin):
        if text:
            (said,) = judge.judge([Asked(text, args.question)])
            console.result({"text": text, **said}, in_words(said))


def _newest(project: Any, wanted: int | None) -> Path:
    from endonym.models.heads import has_head
    from endonym.store import jobs

    made = [int(row["job"]) for row in jobs.artifacts(project.db, "model")]
    made = [job for job in made if has_head(project.output(job))]
    if wanted is not None and wanted not in made:
        raise UsageError(f"job {wanted} trained no head", f"Jobs that did: {', '.join(map(str, made)) or 'none yet'}.")
    if not made:
        raise MissingError("no head has been trained here yet", "Train one with: endonym train heads")
    return project.output(wanted if wanted is not None else made[-1])
