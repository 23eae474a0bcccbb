"""The curriculum: stages grow harder, the order survives a kill, and the verdict compares what it says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from endonym.jobs.plan import run_plan
from endonym.jobs.submit import submit
from endonym.project import Project
from endonym.store import events

EXAMPLE = Path(__file__).parent / "data" / "tseltal"
FEW = {"steps": 10, "batch_size": 8, "evaluate_every": 50, "save_every": 1, "valid_rows": 8, "samples": 0, "rank": 4}


@pytest.fixture(scope="module")
def project(tmp_path_factory, tiny_model) -> Project:
    """A project with composed chats and their difficulty."""
    folder = tmp_path_factory.mktemp("curriculum") / "tseltal"
    shutil.copytree(EXAMPLE, folder / "raw", ignore=shutil.ignore_patterns("*.toml", "*.md"))
    settings = f"""
        steps = ["ingest", "clean", "align", "split", "compose"]
        [project]
        language = "tzh"
        pivot = "spa"
        base = "{tiny_model}"
        [[sources]]
        files = ["raw/entries.csv", "raw/senses.csv", "raw/examples.csv"]
        reader = "lexicon"
        licence = "CC BY 4.0"
        [sources.settings]
        language = "tzh"
        pivot = "spa"
        senses = {{ file = "senses.csv" }}
        examples = {{ file = "examples.csv" }}
        [split]
        test_size = 20
        valid_size = 12
    """
    (folder / "endonym.toml").write_text(settings, encoding="utf-8")
    run_plan(Project(folder))
    return Project(folder)


def test_curriculum_end_to_end(project):
    submit(project, "score", wait=True)
    row = submit(project, "train", "curriculum", {**FEW, "pacing": "strict", "seeds": 2}, wait=True)
    print([e.data["text"] for e in events.since(project.db, row.id) if e.kind == "log"])
    print((project.output(row.id) / "verdict.json").read_text())
    print((project.newest("difficulty") / "difficulty.json").read_text())
