"""Start a project: a folder with endonym.toml and a place for your material."""

from __future__ import annotations

import argparse
from pathlib import Path

from endonym.cli.console import Console, near
from endonym.data.languages import code_of, name
from endonym.errors import UsageError


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `endonym init`."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="The folder to make.")
    group = parser.add_argument_group("About the project")
    group.add_argument(
        "--language",
        metavar="CODE",
        default="",
        help="The language to teach: its ISO 639-3 code, such as tzh, or its name. (required)",
    )
    group.add_argument(
        "--pivot", metavar="CODE", default="eng", help="The language it is taught through. (default: eng)"
    )
    group.add_argument(
        "--base",
        metavar="MODEL",
        default="smollm2-135m",
        help="Base model: a name from 'endonym models ls', or a local Hugging Face folder. (default: smollm2-135m)",
    )
    group.add_argument(
        "--name", metavar="TEXT", default="", help="What the project is called. (default: the folder's name)"
    )


def run(args: argparse.Namespace, console: Console) -> None:
    """Make the project and say what comes next."""
    from endonym.project import Project

    if not args.language:
        raise UsageError("which language? --language is missing", "Give its ISO 639-3 code, such as --language tzh.")
    language, pivot = code_of(args.language, "--language"), code_of(args.pivot, "--pivot")
    base = args.base
    if Path(base).expanduser().is_dir():
        # A folder must be found from wherever the project is opened later.
        base = str(Path(base).expanduser().resolve())
    project = Project.create(args.folder, language=language, pivot=pivot, base=base, name=args.name)
    folder = near(project.path)
    data = {"project": str(project.path), "file": str(project.file), **project.about}
    console.result(data, folder)
    console.say(
        f"\nMade a project for {name(language)} ({language}), taught through {name(pivot)}, on {args.base}. Next:\n"
        f"  cd {folder}\n  endonym add FILES...     your dictionary, translations, texts\n  endonym run"
    )
