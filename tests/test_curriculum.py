"""The curriculum: stages grow harder, a kill changes nothing, and the verdict says what was measured."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from endonym.data import difficulty
from endonym.data.dataset import Dataset
from endonym.errors import EndonymError
from endonym.jobs.submit import prepare, submit, wait_for
from endonym.models.load import load_artifact
from endonym.project import Project
from endonym.store import events, jobs
from endonym.store.files import hash_folder
from endonym.train.batches import Cursor, by_stages, order, steps
from endonym.train.fit import Rows
from endonym.train.recipes import curriculum
from endonym.train.trials import Outcome
from endonym.train.verdict import between_ways, over_seeds

FEW = {"steps": 10, "batch_size": 8, "save_every": 2, "valid_rows": 8, "samples": 0, "rank": 4, "dtype": "float32"}
STRICT = {**FEW, "pacing": "strict", "seeds": 2}


@pytest.fixture(scope="module")
def project(composed, copied, tmp_path_factory) -> Project:
    """A project with composed chats and their difficulty."""
    project = Project(copied(composed, tmp_path_factory.mktemp("curriculum") / "project"))
    submit(project, "score", wait=True)
    return project


def test_the_order_is_a_function_of_seed_epoch_and_cursor():
    weights = [1.0] * 12 + [0.5, 0.0]
    stages, lengths = [range(4), range(4, 13)], [15, 20]
    rows_of = partial(by_stages, stages, lengths, weights, 3)
    walked = [next(walk) for walk in [steps(rows_of, 5, Cursor())] for _ in range(12)]
    for at in (0, 2, 4, 8):
        resumed = steps(rows_of, 5, walked[at][1])
        assert [next(resumed)[0] for _ in range(12 - at - 1)] == [rows for rows, _ in walked[at + 1 :]]
    first, second, rest = ([i for rows, _ in walked[a:b] for i in rows] for a, b in ((0, 3), (3, 7), (7, 12)))
    assert set(first) == set(range(4)) and max(Counter(first).values()) == 4
    assert set(second) <= set(range(4, 13)) and Counter(second)[12] < 3
    assert rest == [i for epoch in (2, 3, 4) for i in order(14, weights, 3, epoch)][: len(rest)]
    assert by_stages(stages, lengths, weights, 4, 0) != first


@pytest.mark.parametrize("pacing", ["warmup", "strict", "cumulative"])
def test_stages_grow_harder(project, pacing):
    data = Dataset(project.newest("chats"), "train")
    ids = [chat.id for chat in data.records("train")]
    rows = Rows([None] * len(ids), [1.0] * len(ids), ids, ids)
    job = SimpleNamespace(inputs={"difficulty": project.newest("difficulty")}, log=lambda text: None)
    cfg = curriculum.Config(steps=100, batch_size=8, pacing=pacing, share=0.5)
    stages, ends = curriculum.plan(cfg, curriculum.graded(data, job), rows, job)
    assert [step for step, _ in ends] == ([10, 20, 30, 40, 50] if pacing == "warmup" else [20, 40, 60, 80, 100])
    walk = steps(curriculum.course(cfg, 7, rows, stages, ends, print).rows_of, 8, Cursor())
    hard = {row.id: row.difficulty for row in difficulty.read(project.newest("difficulty"))}
    seen = [[hard[ids[i]] for i in next(walk)[0]] for _ in range(100)]
    means = []
    for before, (end, _) in zip([0, *(step for step, _ in ends)], ends):
        part = [value for step in seen[before:end] for value in step]
        means.append(sum(part) / len(part))
    assert means == sorted(means) and means[-1] - means[0] > 25
    if pacing == "warmup":
        after = [value for step in seen[50:] for value in step]
        assert abs(sum(after) / len(after) - 50) < 6
    if pacing != "cumulative":
        assert all(20 * n <= mean <= 20 * n + 20 for n, mean in enumerate(means))


def wait_until(project: Project, job: int, line: str) -> None:
    until = time.monotonic() + 300
    while not any(line in e.data["text"] for e in events.since(project.db, job) if e.kind == "log"):
        assert time.monotonic() < until and jobs.get(project.db, job).state in ("queued", "running")
        time.sleep(0.02)


def test_stages_that_end_at_one_step_each_leave_their_adapter():
    """A quick test of ten steps has fewer than there are stages in its warm-up."""
    rows = Rows([], [1.0] * 4, [], [])
    ended: list[str] = []
    ends = [(0, "beginner"), (1, "elementary"), (1, "intermediate"), (2, "expert")]
    course = curriculum.course(curriculum.Config(), 7, rows, [[0], [1], [2], [3]], ends, ended.append)
    for step in sorted(course.ends):
        course.ends[step]()
    assert ended == ["elementary", "intermediate", "expert"]


def test_a_killed_curriculum_ends_as_an_unbroken_one(project, copied, tmp_path):
    """Killed inside a stage and again inside the verdict; finished runs are not repeated, and all that is written is the same."""
    other = Project(copied(project.path, tmp_path / "project"))
    whole = submit(project, "train", "curriculum", STRICT, wait=True)
    row = submit(other, "train", "curriculum", STRICT)
    for line in ("the stage elementary ends here", "run 4 of 4"):
        wait_until(other, row.id, line)
        os.kill(int(jobs.get(other.db, row.id).worker.split("|")[2]), signal.SIGKILL)
        while jobs.get(other.db, row.id).state == "running":
            jobs.notice_dead(other.db)
        row = submit(other, "train", "curriculum", STRICT)
    wait_for(other, row.id)
    mine, theirs = project.output(whole.id), other.output(row.id)
    for name in ("adapter", "stages"):
        assert hash_folder(mine / name) == hash_folder(theirs / name), name
    assert (mine / "verdict.json").read_text() == (theirs / "verdict.json").read_text()
    for name in ("curriculum-21/loss", "random-order-20/loss"):
        assert [step for step, _ in events.curve(other.db, row.id, name)] == list(range(1, 11)), name
    check_output(project, mine, whole)


def check_output(project: Project, folder: Path, row) -> None:
    """What a finished curriculum leaves: a model, an adapter and an evaluation a stage, and a verdict with its numbers."""
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    curve = dict(events.curve(project.db, row.id, "valid_loss"))
    assert [s["name"] for s in about["curriculum"]["stages"]] == list(difficulty.STAGES)
    assert [s["last_step"] for s in about["curriculum"]["stages"]] == [2, 4, 6, 8, 10]
    assert all(s["valid_loss"] == curve[s["last_step"]] for s in about["curriculum"]["stages"])
    assert sorted(p.name for p in (folder / "stages").iterdir()) == sorted(difficulty.STAGES)
    verdict = about["verdict"]
    assert verdict == json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    assert (
        verdict["seeds"] == 2
        and verdict["rows"] == 8
        and verdict["text"] in (e.data["text"] for e in events.since(project.db, row.id) if e.kind == "log")
    )
    # The verdict is about the model that is saved: its bits per byte are those of the first run.
    from endonym.models.generate import answer_nll
    from endonym.train.rows import spread

    chats = spread([c for c in Dataset(project.newest("chats"), "train").records("valid") if c.answer], 8)
    found = answer_nll(load_artifact(folder, "float32"), chats)
    bits = sum(n for n, _ in found) / 0.6931471805599453 / sum(b for _, b in found)
    assert verdict["curriculum"][0] == pytest.approx(bits, rel=1e-4)


def test_a_quick_test_needs_no_verdict_and_old_grades_are_refused(project, copied, tmp_path):
    quick = {**FEW, "steps": 200, "max_steps": 10, "seeds": 0, "average": 2}
    row = submit(project, "train", "curriculum", quick, wait=True)
    about = json.loads((project.output(row.id) / "model.json").read_text(encoding="utf-8"))
    assert about["steps"] == 10 and not (project.output(row.id) / "verdict.json").exists()
    assert about["curriculum"]["stages"][-1]["last_step"] == 3
    other = Project(copied(project.path, tmp_path / "project"))
    submit(other, "compose", settings={"most": 100}, wait=True)
    with pytest.raises(EndonymError, match="scored on other chats"):
        submit(other, "train", "curriculum", quick, wait=True)


def test_grades_are_asked_for_by_the_curriculum_alone(project, composed):
    assert "difficulty" in prepare(project, "train", "curriculum", {}, {}, None)[2]
    assert "difficulty" not in prepare(project, "train", "lora", {}, {}, None)[2]
    with pytest.raises(EndonymError) as error:
        prepare(Project(composed), "train", "curriculum", {}, {}, None)
    assert "endonym score" in error.value.hint


def outcomes(values: list[float], rows: int = 50) -> list[Outcome]:
    """Runs that need about `values` bits per byte, the same rows harder than others in each."""
    hard = [1 + (i % 7) / 7 for i in range(rows)]
    answers = [[10 * h * rows / sum(hard), 10.0] for h in hard]
    return [
        Outcome(10, 10, 1, 500, 1.0, 1.0, 100, [[b * v, n] for b, n in answers], [[0, 9.0], [5, v + 1], [10, v]])
        for v in values
    ]


def judged(first: list[float], second: list[float]) -> dict:
    return between_ways({"curriculum": outcomes(first), "random order": outcomes(second)})


def test_the_verdict_needs_seeds_and_rows_to_agree():
    clear = judged([1.00, 1.01, 1.02], [1.10, 1.12, 1.11])
    assert clear["verdict"] == "better" and clear["difference"] == pytest.approx(-0.1)
    assert clear["caught_up_at"][0] == {"best_of_second": 10, "reached_by_first": 10}
    assert judged([1.1, 1.12, 1.11], [1.0, 1.01, 1.02])["verdict"] == "worse"
    mixed = judged([1.0, 1.1, 1.05], [1.1, 1.05, 1.06])
    assert mixed["over_rows"][1] < 0 and mixed["verdict"] == "no difference shown"
    assert mixed["text"].endswith("no, curriculum did not measurably help")
    single = judged([1.0], [1.1])
    assert single["over_seeds"] is None and single["verdict"] == "no difference shown"
    # Student's sleep data (1908): ten paired differences, mean 1.58, 95 % from 0.70 to 2.46.
    low, high = over_seeds([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    assert (low, high) == pytest.approx((0.700, 2.460), abs=0.001)
