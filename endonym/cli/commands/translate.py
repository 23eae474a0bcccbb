"""Translate a text, or every line of standard input, with the trained model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from endonym.cli.console import Console
from endonym.cli.parser import open_project
from endonym.cli.speaker import Speaker, add_sampling, measured_samples
from endonym.errors import UsageError


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `endonym translate`."""
    parser.add_argument(
        "text", nargs="*", metavar="TEXT", help="What to translate. (default: every line of standard input)"
    )
    group = parser.add_argument_group("Direction")
    group.add_argument(
        "--to", metavar="CODE", default="", help="Language to translate into. (default: the project's language)"
    )
    group.add_argument(
        "--from", dest="source", metavar="CODE", default="", help="Language of the text. (default: the other one)"
    )
    add_sampling(parser, temperature=0.0)
    parser.add_argument(
        "--samples",
        type=int,
        metavar="N",
        help="Try N more answers and keep the one they agree on most. (default: as the model was evaluated)",
    )


def run(args: argparse.Namespace, console: Console) -> None:
    """Print one translation a line."""
    project = open_project(args)
    direction = _direction(args.source, args.to, project.language, project.pivot)
    if not args.text and sys.stdin.isatty():
        raise UsageError("nothing to translate", 'Give a text: endonym translate "..."; or pipe lines into it.')
    speaker = Speaker.open(project, args, console)
    samples, temperature, votes = measured_samples(project, speaker.job)
    if args.temperature > 0:
        samples, temperature = 0, args.temperature
    samples = samples if args.samples is None else args.samples
    for text in [" ".join(args.text)] if args.text else _lines():
        chat = speaker.context.chat_for("translate", text, direction)
        streamed = (
            speaker.answer(chat.prompt) if samples <= 0 else iter([speaker.best(chat, samples, temperature, votes)])
        )
        answer = "".join(streamed).strip()
        prompt = [{"role": m.role, "content": m.content} for m in chat.prompt]
        console.result(
            {"text": answer, "source": text, "direction": direction, "model": speaker.job, "prompt": prompt}, answer
        )


def _direction(source: str, target: str, language: str, pivot: str) -> str:
    """`spa>tzh`: what is not said is the other language of the project, and nothing said is into the language taught."""
    other = {language: pivot, pivot: language}
    for code in (source, target):
        if code and code not in other:
            raise UsageError(f"this project does not know '{code}'", f"It knows {language} and {pivot}.")
    target = target or (other[source] if source else language)
    source = source or other[target]
    if source == target:
        raise UsageError(f"from {source} to {target} there is nothing to translate", f"Give --to {other[target]}.")
    return f"{source}>{target}"


def _lines() -> Iterator[str]:
    return (line.strip() for line in sys.stdin if line.strip())
