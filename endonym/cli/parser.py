"""One verb's parser: argparse with our errors, the options every verb has, and unknown options kept for the settings check."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from endonym.cli.console import Console, columns
from endonym.errors import UsageError
from endonym.plugins import first_sentence

if TYPE_CHECKING:
    from endonym.project import Project


class Parser(argparse.ArgumentParser):
    """argparse that raises our UsageError and never guesses at abbreviated options."""

    def __init__(self, prog: str, description: str, **more: Any):
        more.setdefault("add_help", False)
        super().__init__(prog=prog, description=description, formatter_class=Formatter, allow_abbrev=False, **more)
        self._optionals.title = "Options"
        self._positionals.title = "Arguments"

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}", f"See: {self.prog} --help")


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options that every verb has."""
    group = parser.add_argument_group("Options of every verb")
    group.add_argument("-h", "--help", action="help", help="Show this page.")
    group.add_argument(
        "--project", metavar="DIR", type=Path, help="The project to work in (default: the nearest one upward)."
    )
    group.add_argument("--json", action="store_true", help="Print the result as JSON on stdout.")
    group.add_argument("--quiet", action="store_true", help="Print errors and results only.")


@dataclass
class Command:
    """A verb ready to run: its parser, the words it was given, and the function that does it."""

    parser: argparse.ArgumentParser
    words: list[str]
    run: Callable[[argparse.Namespace, Console], int | None]
    parse_words: Callable[[list[str]], argparse.Namespace] | None = None

    @classmethod
    def of_module(cls, verb: str, module: ModuleType, words: list[str]) -> Command:
        """A command from `endonym/cli/commands/`: its docstring, `options(parser)` and `run(args, console)`."""
        assert module.__file__
        parser = Parser(f"endonym {verb}", first_sentence(Path(module.__file__)))
        module.options(parser)
        add_common(parser)
        return cls(parser, words, module.run)

    def parse(self) -> argparse.Namespace:
        """Parse the words; raises UsageError."""
        return (self.parse_words or self.parser.parse_args)(self.words)


def open_project(args: argparse.Namespace) -> Project:
    """The project that `--project` names, the one we stand in, or the only one that lies right below."""
    from endonym.project import SETTINGS_FILE, Project

    if args.project:
        return Project(args.project)
    try:
        return Project.find()
    except UsageError:
        below = sorted(Path.cwd().glob(f"*/{SETTINGS_FILE}"))
        if len(below) != 1:
            raise
    if not args.quiet:
        print(f"project: {below[0].parent.name}", file=sys.stderr)
    return Project(below[0].parent)


def actions(parser: argparse.ArgumentParser, default: str = "") -> Callable[..., argparse.ArgumentParser]:
    """Give `parser` sub-actions (`jobs ls`); returns the function that adds one by name and sentence."""
    group = parser.add_subparsers(
        dest="action", metavar="ACTION", title="Actions", required=not default, prog=parser.prog
    )
    parser.set_defaults(action=default or None)

    def add(name: str, sentence: str, *aliases: str) -> argparse.ArgumentParser:
        child = group.add_parser(name, aliases=aliases, help=sentence, description=sentence, add_help=False)
        add_common_quietly(child)
        return child

    return add


def add_common_quietly(parser: argparse.ArgumentParser) -> None:
    """Accept the options of every verb after an action too, without resetting those given before it."""
    group = parser.add_argument_group("Options of every verb")
    group.add_argument("-h", "--help", action="help", help="Show this page.")
    group.add_argument("--project", metavar="DIR", type=Path, default=argparse.SUPPRESS, help="The project to work in.")
    for name, words in (
        ("--json", "Print the result as JSON on stdout."),
        ("--quiet", "Print errors and results only."),
    ):
        group.add_argument(name, action="store_true", default=argparse.SUPPRESS, help=words)


class Formatter(argparse.HelpFormatter):
    """Help as wide as the terminal, with one short spelling of an option that has several."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=34, width=columns())

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        return getattr(action, "shown", "") or super()._format_action_invocation(action)
