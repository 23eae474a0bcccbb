"""Experiment trackers follow a run, and one that fails or hangs neither stops it nor slows it nor changes its result."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import time

import pytest

from endonym.errors import EndonymError
from endonym.jobs.submit import submit
from endonym.project import Project
from endonym.store import events
from endonym.store.files import hash_folder

HEAD = '''"""A tracker for the tests, in {name}."""
from pydantic import BaseModel, ConfigDict, Field

class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    word: str = Field("none", description="Written down.")

'''
TRACKERS = {
    "collects": """
import json
def track(events, cfg, run) -> None:
    with (run.folder / "points.jsonl").open("w") as file:
        file.write(json.dumps([cfg.word, run.settings.get("lora.rank")]) + "\\n")
        for event in events:
            if event.kind == "metric":
                file.write(json.dumps([event.data["name"], event.data["step"], event.data["value"]]) + "\\n")
                file.flush()
""",
    "breaks": """
def track(events, cfg, run) -> None:
    next(events)
    raise RuntimeError("the server said no")
""",
    "sleeps": """
import os, time
def track(events, cfg, run) -> None:
    (run.folder / "pid").write_text(str(os.getpid()))
    next(events)
    time.sleep(3600)
""",
}
RECIPE = '''"""A recipe for the tests that draws a curve and trains nothing."""
import time
from pydantic import BaseModel, ConfigDict, Field

class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    seconds: float = Field(1.0, description="How long it takes.")

def train(cfg: Config, data, job):
    for step in range(10):
        job.metric("loss", 1 / (step + 1), step)
        time.sleep(cfg.seconds / 10)
    (job.output / "model.json").write_text("{}")
    return job.output
'''
FEW = {"steps": 4, "batch_size": 4, "evaluate_every": 2, "save_every": 2, "valid_rows": 4, "samples": 0, "rank": 4}


@pytest.fixture(scope="module")
def project(composed, copied, tmp_path_factory) -> Project:
    folder = tmp_path_factory.mktemp("trackers") / "project"
    copied(composed, folder)
    for kind in ("tracker", "recipe"):
        (folder / "plugins" / kind).mkdir(parents=True)
    for name, body in TRACKERS.items():
        (folder / "plugins" / "tracker" / f"{name}.py").write_text(HEAD.format(name=name) + body)
    (folder / "plugins" / "recipe" / "curve.py").write_text(RECIPE)
    return Project(folder)


def said(project: Project, job: int, kind: str) -> list[str]:
    return [e.data["text"] for e in events.since(project.db, job) if e.kind == kind]


def ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_trackers_that_break_or_hang_change_nothing(project):
    """One follows, one raises, one sleeps past the end of the run; the adapter is the one of a run without any."""
    alone = submit(project, "train", "lora", FEW, wait=True)
    names = {"report_to": ["collects", "breaks", "sleeps"], "report_patience": 600}
    row = submit(project, "train", "lora", {**FEW, **names, "trackers": {"collects": {"word": "hello"}}}, wait=True)
    sleeper = int((project.path / "tracking" / "sleeps" / "pid").read_text())
    try:
        outputs = [project.output(r.id) / "adapter" for r in (alone, row)]
        assert hash_folder(outputs[0]) == hash_folder(outputs[1])
        (warning,) = said(project, row.id, "warning")
        assert warning.startswith("the tracker breaks ended with an error")
        assert "the server said no" in (project.runs / row.folder / "tracker-breaks.log").read_text()
        assert any("sleeps has not taken everything yet" in text for text in said(project, row.id, "log"))
        first, *points = map(json.loads, (project.path / "tracking/collects/points.jsonl").read_text().splitlines())
        assert first == ["hello", 4]
        for name in ("loss", "valid_loss"):
            curve = [(step, value) for found, step, value in points if found == name]
            assert curve == events.curve(project.db, row.id, name) and curve
    finally:
        os.kill(sleeper, signal.SIGKILL)


def test_a_tracker_that_hangs_is_given_up_and_named_once(project):
    row = submit(project, "train", "curve", {"report_to": ["sleeps"], "report_patience": 2, "seconds": 6}, wait=True)
    assert said(project, row.id, "warning") == [
        "the tracker sleeps did not answer for 2 seconds. The run goes on, and its events are in the project."
    ]
    assert ended(int((project.path / "tracking" / "sleeps" / "pid").read_text()))


def test_a_tracker_ends_when_its_run_is_killed(project):
    row = submit(project, "train", "curve", {"report_to": ["collects", "sleeps"], "report_patience": 3, "seconds": 60})
    pid = project.path / "tracking" / "sleeps" / "pid"
    pid.unlink(missing_ok=True)
    until = time.monotonic() + 300
    while time.monotonic() < until and not (pid.is_file() and events.curve(project.db, row.id, "loss")):
        time.sleep(0.2)
    from endonym.store import jobs

    os.kill(int(jobs.get(project.db, row.id).worker.split("|")[2]), signal.SIGKILL)
    while time.monotonic() < until and not ended(int(pid.read_text())):
        time.sleep(0.2)
    assert ended(int(pid.read_text()))


def test_a_tracker_that_is_not_there_is_an_error_before_training(project):
    with pytest.raises(EndonymError, match="there is no tracker 'tensorbord'"):
        submit(project, "train", "curve", {"report_to": ["tensorbord"]}, wait=True)
    with pytest.raises(EndonymError, match="'wrod'"):
        submit(
            project, "train", "curve", {"report_to": ["collects"], "trackers": {"collects": {"wrod": "x"}}}, wait=True
        )
    with pytest.raises(EndonymError, match="settings of 'colects', which is no tracker") as caught:
        submit(
            project, "train", "curve", {"report_to": ["collects"], "trackers": {"colects": {"word": "x"}}}, wait=True
        )
    assert "'collects'" in caught.value.hint


def test_a_tracker_named_twice_follows_once(project):
    row = submit(project, "train", "curve", {"report_to": ["breaks", "breaks"], "seconds": 8}, wait=True)
    assert (project.runs / row.folder / "tracker-breaks.log").read_text().count("Traceback") == 1


@pytest.mark.skipif(not importlib.util.find_spec("tensorboardX"), reason="the extra tensorboard is not installed")
def test_tensorboard_gets_the_curve(project):
    row = submit(project, "train", "curve", {"report_to": ["tensorboard"]}, wait=True)
    folder = project.path / "tracking" / "tensorboard" / row.folder
    until = time.monotonic() + 300
    while time.monotonic() < until and not sum(f.stat().st_size > 500 for f in folder.glob("events.*")):
        time.sleep(0.2)
    assert b"loss" in b"".join(f.read_bytes() for f in folder.glob("events.*"))
