"""Upload a certified export to the Hugging Face hub, after showing what would go where."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from endonym.cli.console import Console, near, size, table
from endonym.cli.parser import open_project
from endonym.errors import EndonymError, MissingError, UsageError

if TYPE_CHECKING:
    from endonym.project import Project


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `endonym push`."""
    parser.add_argument("repo", metavar="OWNER/NAME", help="The repository on the hub; it is made where there is none.")
    parser.add_argument("--export", metavar="JOB", type=int, help="Which export (default: the newest hub_folder).")
    parser.add_argument("--public", action="store_true", help="Let everybody see a new repository (default: only you).")
    parser.add_argument("--yes", action="store_true", help="Upload without asking.")


def run(args: argparse.Namespace, console: Console) -> None:
    """Check the folder, show it, ask, upload."""
    from endonym.export.ready import ready_to_ship

    project = open_project(args)
    folder = _folder(project, args.export)
    files = ready_to_ship(project, folder)
    _check_repo(args.repo)
    rows = [(name, size((folder / name).stat().st_size)) for name in files]
    seen = "everybody can see" if args.public else "only you can see"
    console.say(f"{near(folder)}: certified, unchanged since")
    console.say(table(rows, ("file", "size"), right=[1]))
    console.say(f"goes to https://huggingface.co/{args.repo} (a new one {seen})")
    told = {"repo": args.repo, "folder": str(folder), "files": files, "public": args.public}
    if not (args.yes or _agreed(console)):
        console.result({**told, "uploaded": False}, "nothing was uploaded" + ("" if args.yes else "; --yes uploads it"))
        return
    url = _upload(folder, files, args.repo, args.public)
    console.result({**told, "uploaded": True, "url": url}, url)


def _folder(project: Project, job: int | None) -> Path:
    from endonym.store import jobs as rows

    there = [row["job"] for row in rows.artifacts(project.db, "export")]
    if job is None:
        named = [n for n in there if rows.get(project.db, n).plugin == "hub_folder"]
        if not named:
            raise MissingError("there is no folder to upload", "Make one with: endonym export hub_folder")
        job = named[-1]
    if job not in there:
        raise UsageError(f"job {job} is no export", "List the jobs with: endonym jobs")
    return project.output(job)


def _check_repo(repo: str) -> None:
    owner, _, name = repo.partition("/")
    if not owner or not name or "/" in name:
        raise UsageError(f"'{repo}' is no repository", "Name it as OWNER/NAME, such as my-school/tseltal-135m.")


def _agreed(console: Console) -> bool:
    if not (sys.stdin.isatty() and console.live):
        return False
    return input("Upload? [y/N] ").strip().lower() in ("y", "yes")


def _upload(folder: Path, files: list[str], repo: str, public: bool) -> str:
    """The address of the commit. Raises UsageError when nobody is logged in or the network is not allowed, EndonymError when it fails."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise UsageError("HF_HUB_OFFLINE forbids the network", "Unset it to upload.")
    if not huggingface_hub.get_token():
        raise UsageError("you are not logged in to the hub", "Log in with: hf auth login")
    api = huggingface_hub.HfApi(library_name="endonym")
    try:
        api.create_repo(repo, private=not public, exist_ok=True)
        made = api.upload_folder(
            repo_id=repo, folder_path=folder, allow_patterns=files, commit_message="A model certified by Endonym"
        )
    except (HfHubHTTPError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise EndonymError(
            f"the hub did not take it: {first}", "Nothing here was changed; run the command again to go on."
        ) from error
    return str(getattr(made, "commit_url", made))
