"""Talk with the trained model in the terminal."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from endonym.cli.console import Console
from endonym.cli.parser import open_project
from endonym.cli.speaker import Speaker, add_sampling
from endonym.errors import DataError, EndonymError, Problem, UsageError, did_you_mean
from endonym.store.files import whole_lines
from endonym.types import Message


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `endonym chat`."""
    parser.add_argument_group("Options").add_argument(
        "--once", metavar="TEXT", help="Ask one thing, print the answer, and end."
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FILE", help="Keep the conversation in FILE, and go on with the one that is there."
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
    talk = _Talk(args.keep)
    speaker = Speaker.open(open_project(args), args, console)
    if args.once is not None:
        _turn(speaker, talk, args.once, console)
        return
    tasks = ", ".join(f"/{task}" for task in speaker.context.tasks)
    console.say(f"model of job {speaker.job}. Tasks with hints: {tasks}. /new forgets, /quit ends.\n")
    if talk.said:
        console.say(f"{len(talk.said)} messages of before are remembered.\n")
    while True:
        try:
            line = _ask()
        except EOFError:
            console.say()
            return
        if line in ("/quit", "/exit"):
            return
        if line == "/new":
            talk.forget()
        elif line:
            _try_turn(speaker, talk, line, console)


class _Talk:
    """What was said so far, in a file where one is wanted: a message a line, as `{"role", "content"}`."""

    def __init__(self, file: Path | None):
        self.file = file
        self.state = file.with_name(f"{file.name}.safetensors") if file else None
        """Where a model over bytes keeps what it has read."""
        self.said = [] if file is None or not file.exists() else _read(file)

    def add(self, *messages: Message) -> None:
        """Remember what was said."""
        self.said += messages
        if self.file:
            with self.file.open("a", encoding="utf-8") as file:
                for one in messages:
                    file.write(json.dumps({"role": one.role, "content": one.content}, ensure_ascii=False) + "\n")

    def forget(self) -> None:
        """Begin anew."""
        self.said = []
        for file in (self.file, self.state):
            if file:
                file.unlink(missing_ok=True)


def _read(file: Path) -> list[Message]:
    """The messages in a file. Raises DataError for a line that is none."""
    said = []
    for number, line in enumerate(whole_lines(file), 1):
        try:
            one = json.loads(line)
            said.append(
                Message(
                    {"user": "user", "assistant": "assistant", "system": "system"}[one["role"]], str(one["content"])
                )
            )
        except (ValueError, KeyError, TypeError) as error:
            fix = 'a line is {"role": "user", "content": "..."}; mend it, or keep the conversation in another file'
            raise DataError(Problem(str(file), number, "role", "this line is no message", fix)) from error
    return said


def _ask() -> str:
    # Talk goes to stderr, so that what is piped away from stdout is the answers alone.
    if sys.stdin.isatty():
        sys.stderr.write("> ")
        sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.strip()


def _try_turn(speaker: Speaker, talk: _Talk, line: str, console: Console) -> None:
    """One turn that may fail or be interrupted without ending the talk."""
    try:
        _turn(speaker, talk, line, console)
    except EndonymError as error:
        console.error(error)
    except KeyboardInterrupt:
        console.say("\n(stopped)")


def _turn(speaker: Speaker, talk: _Talk, line: str, console: Console) -> None:
    messages = _messages(speaker, talk.said, line)
    pieces = []
    for piece in speaker.answer(messages, talk.state):
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
    talk.add(Message("user", line), Message("assistant", text))


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
