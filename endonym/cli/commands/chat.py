"""Talk with the trained model in the terminal."""

from __future__ import annotations

import argparse
import sys

from endonym.cli.console import Console
from endonym.cli.parser import open_project
from endonym.cli.speaker import Speaker, add_sampling
from endonym.errors import EndonymError, UsageError, did_you_mean
from endonym.types import Message


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `endonym chat`."""
    parser.add_argument_group("Options").add_argument(
        "--once", metavar="TEXT", help="Ask one thing, print the answer, and end."
    )
    add_sampling(parser, temperature=0.0)
    parser.epilog = (
        "A line that starts with a task asks that task with the hints of your data: /translate casa, /define na, /lookup agua. "
        "/new forgets what was said; /quit or Ctrl-D ends."
    )


def run(args: argparse.Namespace, console: Console) -> None:
    """Answer once, or until the person leaves."""
    if args.once is None and console.json:
        raise UsageError("--json needs --once TEXT", 'Such as: endonym chat --once "..." --json')
    speaker = Speaker.open(open_project(args), args, console)
    if args.once is not None:
        _turn(speaker, [], args.once, console)
        return
    tasks = ", ".join(f"/{task}" for task in speaker.context.tasks)
    console.say(f"model of job {speaker.job}. Tasks with hints: {tasks}. /new forgets, /quit ends.\n")
    history: list[Message] = []
    while True:
        try:
            line = _ask()
        except EOFError:
            console.say()
            return
        if line in ("/quit", "/exit"):
            return
        if line == "/new":
            history = []
        elif line:
            history = _try_turn(speaker, history, line, console)


def _ask() -> str:
    # Talk goes to stderr, so that what is piped away from stdout is the answers alone.
    if sys.stdin.isatty():
        sys.stderr.write("> ")
        sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.strip()


def _try_turn(speaker: Speaker, history: list[Message], line: str, console: Console) -> list[Message]:
    """One turn that may fail or be interrupted without ending the talk."""
    try:
        return _turn(speaker, history, line, console)
    except EndonymError as error:
        console.error(error)
    except KeyboardInterrupt:
        console.say("\n(stopped)")
    return history


def _turn(speaker: Speaker, history: list[Message], line: str, console: Console) -> list[Message]:
    messages = _messages(speaker, history, line)
    pieces = []
    for piece in speaker.answer(messages):
        pieces.append(piece)
        if not console.json:
            console.stream(piece)
    text = "".join(pieces).strip()
    if console.json:
        console.result(
            {"text": text, "model": speaker.job, "prompt": [{"role": m.role, "content": m.content} for m in messages]}
        )
    else:
        console.stream("\n")
    return [*history, Message("user", line), Message("assistant", text)]


def _messages(speaker: Speaker, history: list[Message], line: str) -> list[Message]:
    if not line.startswith("/"):
        return [*history, Message("user", line)]
    task, _, text = line[1:].partition(" ")
    if task not in speaker.context.tasks:
        raise UsageError(f"there is no task '{task}'", did_you_mean(task, speaker.context.tasks))
    if not text.strip():
        raise UsageError(f"/{task} what?", f"Write the text behind it: /{task} ...")
    context = speaker.context
    return list(context.chat_for(task, text.strip(), f"{context.pivot}>{context.language}").prompt)
