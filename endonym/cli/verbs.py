"""The verbs of the command line: which there are, where each lives, and the words that introduce them."""

from __future__ import annotations

from pathlib import Path

from endonym.plugins import PACKAGE, first_sentence

COMMANDS = PACKAGE / "cli" / "commands"

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Start here", ("demo", "studio", "init", "add", "collect", "review", "run", "teach", "report")),
    ("Use what was trained", ("chat", "translate", "predict", "serve", "push")),
    (
        "Each stage alone",
        (
            "ingest",
            "clean",
            "align",
            "split",
            "augment",
            "score",
            "compose",
            "tokenizer",
            "train",
            "evaluate",
            "diagnose",
            "grade",
            "compare",
            "export",
        ),
    ),
    ("Look around", ("data", "plan", "preview", "jobs", "sources", "models", "modules", "plugins", "doctor")),
)


def home(verb: str) -> Path | None:
    """The file whose docstring introduces `verb`, or None when there is no such verb (or its stage is not installed)."""
    for path in (COMMANDS / f"{verb}.py", PACKAGE / verb / "run.py"):
        if path.is_file():
            return path
    return None


def is_command(verb: str) -> bool:
    """Whether `verb` is a command of its own; all others are stages."""
    return (COMMANDS / f"{verb}.py").is_file()


def grouped() -> list[tuple[str, list[tuple[str, str]]]]:
    """`[(group, [(verb, first sentence)])]` of the verbs there are, without importing any of them."""
    groups = []
    for title, verbs in GROUPS:
        found = [(verb, first_sentence(path)) for verb in verbs if (path := home(verb))]
        if found:
            groups.append((title, found))
    return groups


def names() -> list[str]:
    """All verbs there are."""
    return [verb for _, verbs in GROUPS for verb in verbs if home(verb)]


def stages() -> list[str]:
    """The verbs that are stages: everything `submit` can run as a job."""
    return [verb for verb in names() if (PACKAGE / verb / "run.py").is_file()]
