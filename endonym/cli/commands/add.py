"""Add files to the project: says what each is, in which languages, how much, and what it is good for."""

from __future__ import annotations

import argparse
from pathlib import Path

from endonym.cli.console import Console
from endonym.cli.parser import open_project
from endonym.errors import DataError


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `endonym add`."""
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="Files to learn from; of a folder, all files in it."
    )
    group = parser.add_argument_group("About the files")
    group.add_argument("--reader", metavar="NAME", default="", help="Read them with this reader. (default: found)")
    group.add_argument("--licence", metavar="TEXT", default="", help="Licence of the material, kept with every record.")
    group.add_argument("--attribution", metavar="TEXT", default="", help="Whom to credit; goes into the model card.")
    group.add_argument(
        "--consent", metavar="TEXT", default="", help="Who agreed to this use and on what terms, in words."
    )
    group.add_argument(
        "--restriction", metavar="NAME", action="append", default=[], dest="restrictions",
        help="What its owners ask for, such as no-commercial or no-publication; may be given more than once.",
    )  # fmt: skip
    parser.epilog = (
        "What was found is written to endonym.toml as a [[sources]] table: correct it there. Files outside the project are "
        "copied into its raw/ folder. A file that cannot be read is named with a repair and does not stop the others."
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Add the files and say what they are; the exit code is 4 when one could not be added."""
    from endonym.ingest.add import add

    project = open_project(args)
    found = add(project, args.files, reader=args.reader, licence=args.licence, attribution=args.attribution,
                consent=args.consent, restrictions=args.restrictions)  # fmt: skip
    added = [finding for finding in found if finding.ok]
    text = "\n\n".join("\n".join(finding.lines()) for finding in added)
    console.result({"findings": [finding.as_json() for finding in found]}, text)
    bad = [finding for finding in found if not finding.ok]
    if bad:
        console.say(("\n" if added else "") + "\n\n".join("\n".join(finding.lines()) for finding in bad))
    num_new = sum(finding.added for finding in found)
    console.say(
        f"\n{num_new} of {len(found)} added to {project.file.name}" + (". Next: endonym run" if num_new else "")
    )
    return DataError.exit_code if bad else 0
