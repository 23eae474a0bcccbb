"""Show what a pattern makes of a dictionary's lines, and go on showing it while you write the pattern."""

from __future__ import annotations

import argparse
import os
import sys
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.cli.console import Console, columns, table, width
from endonym.cli.parser import open_project
from endonym.errors import ConfigError, DataError, EndonymError, Problem, UsageError

if TYPE_CHECKING:
    from endonym.ingest.preview import Preview
    from endonym.ingest.readers.structured import Config, Line

COLOURS = {"headword": 36, "pos": 35, "gloss": 32, "definition": 32, "example": 33, "translation": 34}
OTHER, WRONG = 37, 31
POLL_SECONDS = 0.5


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `endonym preview`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="A dictionary written as text, an entry a line.")
    group = parser.add_argument_group("The pattern")
    group.add_argument("--pattern", action="append", default=[], metavar="TEXT",
                       help="Compare with this pattern; of several, the first that fits a line. (default: the source's, else the built-in one)")  # fmt: skip
    group.add_argument("--settings", dest="toml", type=Path, metavar="FILE",
                       help='A TOML file with `pattern = "..."`; watched while it is edited. (default: endonym.toml)')  # fmt: skip
    group = parser.add_argument_group("What is shown")
    group.add_argument(
        "--lines", type=int, default=20, metavar="N", help="Lines that fit and lines that do not. (default: 20)"
    )
    group.add_argument("--once", action="store_true", help="Print once; do not watch the files on a terminal.")
    parser.epilog = (
        "In a pattern, text stands for itself and {headword} {pos} {gloss; ...} {example} {translation} for fields; what stands in [ ] may be missing, "
        "[ ]... may come several times, {—|–} is one of these marks. Put the pattern into the source's settings in endonym.toml when it fits."
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the preview; on a terminal again whenever the file or its settings change, until Ctrl-C."""
    from endonym.ingest.preview import preview

    if not args.file.is_file():
        raise DataError(Problem(str(args.file), 0, "", "there is no such file", "check the name"))
    watched = [args.file, settings_file(args)]
    live = sys.stdout.isatty() and not (console.json or args.once)
    if not live:
        made = preview(args.file, settings(args), args.lines)
        console.result(made.as_json(), "\n".join(_lines(made, colour=_colour())))
        return 0
    before: list[float] = []
    while True:
        now = [path.stat().st_mtime if path and path.is_file() else 0.0 for path in watched]
        if now != before:
            before = now
            try:
                text = "\n".join(_lines(preview(args.file, settings(args), args.lines), colour=_colour()))
            except EndonymError as error:
                # A pattern half written is no reason to end: the next change may complete it.
                text = str(error)
            print(
                f"\x1b[2J\x1b[H{text}\n\n(watching {', '.join(str(path) for path in watched if path)}; Ctrl-C ends)",
                flush=True,
            )
        time.sleep(POLL_SECONDS)


def settings_file(args: argparse.Namespace) -> Path | None:
    """The TOML file that says how the file is written: the one given, else the project's when it stands in one."""
    if args.toml:
        return Path(args.toml)
    try:
        return open_project(args).file
    except EndonymError:
        return None


def settings(args: argparse.Namespace) -> Config:
    """The reader's settings for the file: from the command line, the settings file or the source in endonym.toml."""
    from pydantic import ValidationError

    from endonym.ingest.readers.structured import Config

    path = settings_file(args)
    values: dict[str, Any] = _read(path, args) if path else {}
    if args.pattern:
        values["pattern"] = args.pattern
    try:
        return Config(**{key: value for key, value in values.items() if key in Config.model_fields})
    except ValidationError as error:
        what = "; ".join(str(one["msg"]).removeprefix("Value error, ") for one in error.errors())
        raise ConfigError(what, "Correct the pattern or setting.") from None


def _read(path: Path, args: argparse.Namespace) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read: {error}", "Correct the TOML there, or name another file with --settings."
        ) from None
    for source in data.get("sources", ()):
        if any((path.parent / name).resolve() == args.file.resolve() for name in source.get("files", ())):
            return dict(source.get("settings", {}))
    return data if args.toml and "pattern" in data else {}


def _colour() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def _lines(made: Preview, colour: bool) -> list[str]:
    """The preview for a person: fields marked in the lines that fit, and under the others the place where they stopped fitting."""
    out = [f"pattern     {one}" for one in made.patterns]
    out.append(f"parsed      {made.parsed:,} of {made.total:,} entries ({made.percent:.1f} %)")
    fields = ", ".join(f"{_painted(name, name, colour)} {number:,}" for name, number in made.fields.items())
    out += [f"fields      {fields}"] if fields else []
    if made.reasons:
        out.append("")
        out.append(
            table(
                [(f"{number:,}", why) for why, number in made.reasons.most_common(5)],
                ("lines", "do not fit because"),
                right=(0,),
            )
        )
    size = len(str(max((line.number for line in (*made.fit, *made.unfit)), default=0)))
    for title, lines in (("lines that fit:", made.fit), ("lines that do not fit (they go to the ledger):", made.unfit)):
        if lines:
            out += ["", title, *(text for line in lines for text in _shown(line, size, colour))]
    return out


def _shown(line: Line, size: int, colour: bool) -> list[str]:
    number, text = f"{line.number:>{size}}  ", line.text.replace("\n", " ").replace("\t", " ")
    if isinstance(line.found, list):
        pieces, end = [], 0
        for one in line.found:
            pieces += [text[end : one.start], _painted(one.name, text[one.start : one.end], colour)]
            end = one.end
        return [number + "".join(pieces) + text[end:]]
    place = line.found.place
    # A long line is cut around the place where it stopped; nothing is lost, it stands whole in the file.
    start = max(0, place - columns() // 2)
    seen = text[start : start + columns() - size - 4]
    caret = " " * (len(number) + width(text[start:place])) + "^"
    mark = f"\x1b[{WRONG}m{caret} {line.found}\x1b[0m" if colour else f"{caret} {line.found}"
    return [number + seen, mark]


def _painted(name: str, text: str, colour: bool) -> str:
    return (
        f"\x1b[{COLOURS.get(name, OTHER)}m{text}\x1b[0m" if colour else (f"{{{name} {text}}}" if name != text else name)
    )
