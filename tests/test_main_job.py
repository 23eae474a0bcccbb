"""The main job on a real dictionary with a tiny model: run, run again, change a setting, kill, resume, lose the database."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from importlib.metadata import distributions
from pathlib import Path

import pytest

import endonym
from endonym.cli.main import main
from endonym.cli.speaker import measured_samples
from endonym.data.dataset import Dataset
from endonym.errors import LeakError
from endonym.jobs.plan import plan, run_plan
from endonym.jobs.submit import resume, submit, wait_for
from endonym.project import Project
from endonym.store import events, jobs
from endonym.store.files import hash_folder

STEPS = ("tokenizer report", "train lora", "evaluate", "export adapter", "compare")
SETTINGS = """
[[sources]]
files = ["raw/udhr.tzh.txt", "raw/udhr.spa.txt"]
reader = "text"
licence = "free to reproduce (United Nations)"

[sources.settings]
parallel = true

[train.lora]
steps = 12
batch_size = 8
rank = 4
learning_rate = 0.01
evaluate_every = 6
save_every = 2
valid_rows = 8
samples = 1

[evaluate]
max_items = 4
max_new_tokens = 8
samples = 3
"""


@pytest.fixture(scope="module")
def finished(dictionary_project, tiny_model) -> Path:
    """A project in which the whole plan has run."""
    return dictionary_project(tiny_model, then=STEPS, more=SETTINGS)


def test_every_step_leaves_an_artifact_that_explains_itself(finished):
    project = Project(finished)
    done = jobs.listing(project.db)
    assert [row.state for row in done] == ["succeeded"] * 10
    for row in done:
        run = project.runs / row.folder
        assert {"config.toml", "environment.json", "events.jsonl", "artifact.json"} <= {p.name for p in run.iterdir()}
        assert json.loads((run / "artifact.json").read_text())["hash"] == hash_folder(run / "output")
    environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    assert environment["packages"] == {d.metadata["Name"]: d.version for d in distributions()}
    report = (project.newest("report") / "report.html").read_text(encoding="utf-8")
    assert "Gilles Polian" in report


def test_running_again_does_nothing(finished):
    project = Project(finished)
    states = []
    started = time.monotonic()
    run_plan(project, on_step=lambda number, total, name, state: states.append(state))
    assert states == ["skipped"] * 10
    assert time.monotonic() - started < 5


def test_translate_answers_as_the_model_was_evaluated(finished, capsys):
    project = Project(finished)
    scores = json.loads((project.newest("scores") / "scores.json").read_text(encoding="utf-8"))
    outputs = (project.newest("scores") / "outputs.jsonl").read_text(encoding="utf-8").splitlines()
    kind = ("tuned", "translate", "spa>tzh")
    row = next(r for r in map(json.loads, outputs) if (r["system"], r["task"], r["direction"]) == kind)
    train = next(r for r in jobs.listing(project.db) if r.verb == "train")
    assert measured_samples(project, train.id) == (3, scores["settings"]["sample_temperature"], 2)
    assert main(["translate", row["source"], "--json", "--project", str(finished)]) == 0
    assert json.loads(capsys.readouterr().out)["prompt"][-1]["content"] in row["prompt"]  # asked with the same hints


def test_changing_one_training_setting_runs_only_what_follows(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    file = copy / "endonym.toml"
    file.write_text(file.read_text().replace("rank = 4", "rank = 2"), encoding="utf-8")
    again = [step.name for step in plan(Project(copy)) if step.state != "done"]
    assert again == ["train lora", "evaluate", "export adapter", "compare"]


def test_the_test_split_stays_sealed(finished):
    folder = Project(finished).newest("split")
    assert list(Dataset(folder, "evaluate").records("test"))
    for verb in ("compose", "train", "tokenizer", "export", ""):
        with pytest.raises(LeakError):
            list(Dataset(folder, verb).records("test"))


def test_nothing_of_the_test_split_is_in_the_prompts(finished):
    """No held-out sentence may stand in any training or validation prompt, hints included."""
    project = Project(finished)
    held = {
        p.source
        for p in Dataset(project.newest("split"), "evaluate").records("test")
        if p.kind == "pair" and len(p.source) > 12
    }
    chats = Dataset(project.newest("chats"), "train")
    text = "\n".join(m.content for split in ("train", "valid") for c in chats.records(split) for m in c.messages)
    assert held
    assert not [sentence for sentence in held if sentence in text]


def test_a_killed_worker_is_noticed_and_resumes_to_the_same_weights(finished, tmp_path):
    """kill -9 at a moment during training; the resumed run must end with the weights of the unbroken one."""
    copy = tmp_path / "killed"
    shutil.copytree(finished, copy)
    project = Project(copy)
    unbroken = hash_folder(project.newest("model") / "adapter")
    settings = {"save_every": 3}  # another key, so that it trains again; checkpoints do not change the result
    row = submit(project, "train", "lora", settings)
    deadline = time.monotonic() + 120
    while not list((project.runs / row.folder).glob("checkpoints/step-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(int(jobs.get(project.db, row.id).worker.split("|")[2]), signal.SIGKILL)
    time.sleep(0.3)
    state = next(r for r in jobs.listing(project.db) if r.id == row.id).state
    assert state == "needs_recovery"
    resume(project, row.id)
    assert wait_for(project, row.id).state == "succeeded"
    texts = [e.data["text"] for e in events.since(project.db, row.id) if e.kind == "log"]
    assert any("going on from the checkpoint" in text for text in texts)
    assert hash_folder(project.output(row.id) / "adapter") == unbroken


def test_cancel_saves_and_resume_goes_on(finished, tmp_path):
    copy = tmp_path / "cancelled"
    shutil.copytree(finished, copy)
    project = Project(copy)
    row = submit(project, "train", "lora", {"steps": 400, "save_every": 300, "evaluate_every": 300})
    deadline = time.monotonic() + 120
    while not events.curve(project.db, row.id, "loss") and time.monotonic() < deadline:
        time.sleep(0.02)
    jobs.request_cancel(project.db, row.id)
    while jobs.get(project.db, row.id).state == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert jobs.get(project.db, row.id).state == "cancelled"
    assert list((project.runs / row.folder).glob("checkpoints/step-*"))


def test_a_lost_database_is_rebuilt_from_the_run_folders(finished, tmp_path):
    copy = tmp_path / "lost"
    shutil.copytree(finished, copy)
    shutil.rmtree(copy / ".endonym")
    project = Project(copy)
    assert {step.state for step in plan(project)} == {"done"}
    train = next(r for r in jobs.listing(project.db) if r.verb == "train")
    assert len(events.curve(project.db, train.id, "loss")) == 12


def test_the_python_api_goes_the_same_way(finished):
    project = endonym.open_project(finished)
    row = project.train("lora")
    assert row.state == "succeeded"
    assert row.id == next(r for r in jobs.listing(project.db) if r.verb == "train").id
