"""Print the path of the newest report, one HTML page that needs no network."""

from __future__ import annotations

import argparse

from endonym.cli.console import Console, near
from endonym.cli.parser import open_project
from endonym.cli.scores import score_rows, score_table
from endonym.errors import MissingError


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `endonym report`."""
    group = parser.add_argument_group("Options")
    group.add_argument("--scores", action="store_true", help="Print the table of scores too.")
    group.add_argument("--open", action="store_true", help="Open it in the web browser.")


def run(args: argparse.Namespace, console: Console) -> None:
    """Print the path, and open the page if asked."""
    project = open_project(args)
    folder = project.newest("report")
    if folder is None:
        raise MissingError("there is no report yet", "Make it with: endonym run")
    page = folder / "report.html"
    shown = f"{score_table(project, ())}\n\n" if args.scores else ""
    console.result({"report": str(page), "scores": score_rows(project)}, f"{shown}{near(page)}")
    if args.open:
        import webbrowser

        webbrowser.open(page.as_uri())
