"""A model with another tokenizer: old rows stay, new rows know what their spelling meant, and the trained model ships."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from endonym.jobs.plan import run_plan
from endonym.jobs.submit import submit
from endonym.models.load import load_artifact
from endonym.project import Project
from endonym.store import events

EXAMPLE = Path(__file__).parent / "data" / "tseltal"
FEW = {
    "steps": 6,
    "warm_steps": 4,
    "batch_size": 8,
    "evaluate_every": 3,
    "save_every": 3,
    "valid_rows": 8,
    "samples": 1,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory, tiny_model) -> Project:
    """A project with composed chats and an extended tokenizer."""
    folder = tmp_path_factory.mktemp("embeddings") / "tseltal"
    shutil.copytree(EXAMPLE, folder / "raw", ignore=shutil.ignore_patterns("*.toml", "*.md"))
    settings = f"""
        steps = ["ingest", "clean", "align", "split", "compose", "tokenizer extend"]
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
        [tokenizer.extend]
        size = 60
        least = 3
    """
    (folder / "endonym.toml").write_text(settings, encoding="utf-8")
    run_plan(Project(folder))
    return Project(folder)


def test_embeddings_trains_new_rows_and_then_all(project, tiny_model):
    row = submit(project, "train", "embeddings", {**FEW, "distil_tokens": 400}, wait=True)
    warm = [value for _, value in events.curve(project.db, row.id, "warm/valid_loss")]
    main = [value for _, value in events.curve(project.db, row.id, "valid_loss")]
    assert len(warm) == len(main) == 3
    assert main[0] == pytest.approx(min(warm), abs=2e-3)
    assert min(main) < main[0]
    print(json.loads((project.output(row.id) / "rows.json").read_text()))
    loaded = load_artifact(project.output(row.id))
    print(len(loaded.tokenizer))
