"""A few of the kills that `benchmarks/chaos.py` deals out by the hundred: nothing is lost, done twice, told twice, or stuck."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

from endonym.project import Project
from endonym.store import events, jobs
from endonym.store.process import identity

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import chaos


def test_kills_of_servers_and_workers_lose_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("ENDONYM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ENDONYM_MEMORY_GB", "1.6")
    monkeypatch.setattr(chaos, "LIVELY", 3)
    options = Namespace(kills=6, seed=3, minutes=1.0, studio=False)
    found = chaos.chaos(chaos.prepare(tmp_path / "home" / "project"), options)
    wrong = {name: found[name] for name in ("lost", "done_twice", "file_differs", "wrong_steps", "stuck")}
    assert not any(wrong.values()), found
    assert found["kills"] and found["jobs"] >= 3 and found["events"] > found["jobs"] * chaos.STEPS


def test_what_is_wrong_is_counted(tmp_path):
    """A point missing, one there twice, a line in the file alone, a job that succeeded twice, one that was never done."""
    project = chaos.prepare(tmp_path / "project")
    row = jobs.find_or_create(
        project.db, "tokenizer", "count", "key", {"stage": {}, "plugins": {"count": {"number": 0}}}, {}
    )
    jobs.claim(project.db, row.id, identity())
    folder = project.runs / row.folder
    for step in (1, 2, 2, 4):
        events.append(project.db, folder, row.id, "metric", {"name": "count", "step": step, "value": step})
    events.append(project.db, folder, row.id, "state", {"state": "succeeded"})
    output = folder / "output"
    output.mkdir()
    (output / "counted.json").write_text(json.dumps({"number": 0, "steps": 4}))
    jobs.register_artifact(project.db, row.id, "tokenizer", "another", [])
    jobs.finish(project.db, row.id, "succeeded", {}, {})
    with (folder / "events.jsonl").open("a") as file:
        file.write("{}\n")
    found = chaos.counted(Project(project.path), wanted=2)
    assert found["lost"] == 2 and found["done_twice"] == 1 and found["file_differs"] == 1 and found["wrong_steps"] == 3
