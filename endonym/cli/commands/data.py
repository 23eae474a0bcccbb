"""Look at the data: one page with counts, lengths, quality, samples, repeats, drops and characters at every stage."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from endonym.cli.console import Console, near, number, table
from endonym.cli.parser import actions, open_project

KINDS = ("raw", "clean", "aligned", "split")


def options(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `endonym data`."""
    add = actions(parser, default="report")
    report = add("report", "Write the page (what 'endonym data' does).")
    for place in (parser, report):
        quiet: dict[str, Any] = {} if place is parser else {"default": argparse.SUPPRESS}
        place.add_argument(
            "--stage", choices=KINDS, help="Records to describe: those of the newest stage when left out.", **quiet
        )
        place.add_argument(
            "--output",
            type=Path,
            metavar="FILE",
            help="Where the page goes (default: data.html in the project).",
            **quiet,
        )
        place.add_argument("--open", action="store_true", help="Open it in the web browser.", **quiet)


def run(args: argparse.Namespace, console: Console) -> None:
    """Write the page and print the numbers on it."""
    from endonym.data.overview import describe
    from endonym.data.overview_page import headline, render

    project = open_project(args)
    view = describe(project, args.stage or "")
    page = args.output or project.path / "data.html"
    page.write_text(render(view, project.about), encoding="utf-8")
    rows = [(row["verb"], number(row["read"]), number(row["kept"])) for row in view.stages]
    shown = table(rows, ("stage", "came in", "went on"), right=[1, 2])
    console.result({"page": str(page), **vars(view)}, f"{headline(view)}\n\n{shown}\n\n{near(page)}")
    if args.open:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())
