"""The README tells the truth: its commands parse, its tree is the source's, its links lead somewhere."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest

from endonym.cli import verbs
from endonym.cli.main import build
from endonym.errors import MissingError

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(text: str) -> list[str]:
    """Every `endonym ...` and `make ...` line of the shell blocks, and every such command quoted in the prose."""
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    lines += re.findall(r"`((?:endonym|make) [^`]+)`", prose)
    return [line for line in lines if line.startswith(("endonym ", "make "))]


# The commands of add-a-plugin.md need the plugins it tells to write; tests/test_cli_jobs.py runs those.
CHECKED = [page for page in PAGES if page.name != "add-a-plugin.md"]
COMMANDS = sorted({command for page in CHECKED for command in commands(page.read_text(encoding="utf-8"))})


def test_readme_names_the_two_commands():
    assert {"make demo", "make test"} <= set(commands(README))
    assert len([c for c in commands(README) if c.startswith("endonym ")]) >= 10


@pytest.mark.parametrize("command", COMMANDS)
def test_documented_command_parses(command, tmp_path, monkeypatch):
    program, *words = shlex.split(command)
    if program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in words)
        return
    assert verbs.home(words[0]), f"there is no verb {words[0]}"
    monkeypatch.chdir(tmp_path)
    try:
        args = build(words[0], words[1:]).parse()
        if hasattr(args, "settings"):
            check_settings("train" if words[0] == "plan" else words[0], args)
    except MissingError as error:
        pytest.skip(error.message)


def check_settings(verb, args):
    """A stage's options must also be settings that exist and take these values."""
    from endonym.config import Layer
    from endonym.jobs.stage import load_stage, resolve

    resolve(load_stage(verb), args.plugin_name, [Layer("command line", args.settings)], ROOT)


def test_tree_is_up_to_date():
    tree = runpy.run_path(str(ROOT / "scripts" / "tree"))
    assert tree["block"]() in README, "run: scripts/tree --write"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).is_file(), f"{page.name} links to {target}"
