"""Job rows: states that end are final, paused jobs go on, a job that failed is continued by another, old databases are brought up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from endonym.errors import JobError, UsageError
from endonym.jobs import begin, submit
from endonym.project import Project
from endonym.store import events, jobs, migrations
from endonym.store.db import connect, transaction
from endonym.store.process import identity, identity_of, is_alive
from endonym.store.room import patiently

ME = identity()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "home", language="tzh")


def new(project: Project, key: str = "key", **more) -> jobs.JobRow:
    return jobs.find_or_create(project.db, "ingest", "", key, {"stage": {}, "plugins": {}}, {}, **more)


def dead() -> str:
    """Identity of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    who = identity_of(process.pid)
    process.kill()
    process.wait()
    return who


def states(project: Project, job: int) -> list[str]:
    return [e.data["state"] for e in events.since(project.db, job) if e.kind == "state"]


def in_file(project: Project, job: int) -> list[dict]:
    path = project.runs / jobs.get(project.db, job).folder / "events.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def agree(project: Project, job: int) -> bool:
    """Whether the file of events and the database tell the same."""
    rows = [{"time": e.time, "kind": e.kind, "data": e.data} for e in events.since(project.db, job)]
    return rows == in_file(project, job)


def test_what_has_ended_is_final(project):
    for state in jobs.FINAL:
        row = new(project, state)
        jobs.claim(project.db, row.id, ME)
        jobs.finish(project.db, row.id, state, {}, {})
        for other in ("queued", "running", "paused", "succeeded", "failed"):
            if other != state:
                with pytest.raises(sqlite3.IntegrityError, match="stays as it ended"):
                    project.db.execute("UPDATE jobs SET state = ? WHERE id = ?", (other, row.id))
        assert jobs.request_cancel(project.db, row.id) == jobs.request_pause(project.db, row.id) == state
        with pytest.raises(JobError, match=f"is {state}"):
            jobs.claim(project.db, row.id, ME)
        assert states(project, row.id) == ["queued", "running", state] and agree(project, row.id)


def test_pausing_and_cancelling_reach_the_jobs_a_job_has_started(project):
    top = new(project, "a")
    middle, waiting = new(project, "b", parent=top.id), new(project, "c", parent=top.id)
    low, other = new(project, "d", parent=middle.id), new(project, "e")
    for row in (top, middle, low, other):
        jobs.claim(project.db, row.id, ME)
    assert jobs.request_pause(project.db, top.id) == "running"
    assert [jobs.renew(project.db, r.id) for r in (top, middle, low, other)] == ["pause", "pause", "pause", ""]
    assert jobs.get(project.db, waiting.id).state == "paused"
    assert [row.id for row in jobs.children(project.db, top.id)] == [middle.id, waiting.id]
    jobs.finish(project.db, low.id, "paused", {}, {})
    assert jobs.request_cancel(project.db, top.id) == "running"
    assert [jobs.renew(project.db, r.id) for r in (top, middle, other)] == ["cancel", "cancel", ""]
    assert {jobs.get(project.db, r.id).state for r in (waiting, low)} == {"cancelled"}
    with pytest.raises(UsageError):
        jobs.request_pause(project.db, 99)


def test_a_paused_job_goes_on_under_its_number(project):
    row = new(project)
    jobs.claim(project.db, row.id, ME)
    jobs.request_pause(project.db, row.id)
    jobs.finish(project.db, row.id, "paused", {}, {})
    assert jobs.open_with_key(project.db, "key").id == row.id
    jobs.requeue(project.db, row.id)
    row = jobs.get(project.db, row.id)
    assert (row.state, row.worker, row.finished, jobs.asked_of(row)) == ("queued", "", None, "")
    assert jobs.find_or_create(project.db, "ingest", "", "key", {}, {}).id == row.id
    jobs.claim(project.db, row.id, ME)
    with pytest.raises(JobError, match="nothing to resume"):
        jobs.requeue(project.db, row.id)


def test_two_workers_cannot_have_one_job(project):
    """Whoever comes second is refused as long as the first lives, whether it has begun or only waits."""
    row, other = new(project), identity_of(os.getppid())
    assert jobs.reserve(project.db, row.id, ME)
    assert not jobs.reserve(project.db, row.id, other)
    with pytest.raises(JobError, match="another worker"):
        jobs.claim(project.db, row.id, other)
    jobs.hand_over(project.db, row.id, other, dead())  # not its to give away
    assert jobs.get(project.db, row.id).worker == ME
    jobs.hand_over(project.db, row.id, ME, dead())
    assert jobs.reserve(project.db, row.id, other)
    jobs.claim(project.db, row.id, other)
    assert not jobs.reserve(project.db, row.id, ME)
    with pytest.raises(JobError, match="is running, not queued"):
        jobs.claim(project.db, row.id, ME)


def test_many_workers_at_once_and_one_gets_the_job(project):
    """Twenty processes try to claim the same jobs at the same moment, with and without a reservation."""
    numbers = [new(project, f"key {i}").id for i in range(10)]
    code = (
        "import sys, time; from endonym.project import Project; from endonym.store import jobs; from endonym.errors import JobError\n"
        "from endonym.store.process import identity\n"
        "project = Project(sys.argv[1]); time.sleep(max(0, float(sys.argv[2]) - time.time()))\n"
        "for job in map(int, sys.argv[3:]):\n"
        "    try:\n"
        "        if job % 2 or jobs.reserve(project.db, job, identity()): jobs.claim(project.db, job, identity()); print(job)\n"
        "    except JobError: pass\n"
        "time.sleep(3)\n"
    )
    command = [sys.executable, "-c", code, str(project.path), str(time.time() + 3), *map(str, numbers)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    got = " ".join(process.communicate(timeout=60)[0] for process in running).split()
    assert sorted(map(int, got)) == numbers
    assert all(states(project, job) == ["queued", "running"] and agree(project, job) for job in numbers)


def test_a_dead_worker_leaves_what_it_was_asked_for(project):
    gone = dead()
    rows = [new(project, str(i)) for i in range(4)]
    for row in rows[:3]:
        jobs.claim(project.db, row.id, gone)
    jobs.request_pause(project.db, rows[1].id)
    jobs.request_cancel(project.db, rows[2].id)
    jobs.hand_over(project.db, rows[3].id, "", gone)
    found = jobs.listing(project.db)
    assert [row.state for row in found] == ["needs_recovery", "paused", "cancelled", "queued"]
    assert [row.worker for row in found] == [""] * 4 and [row.lost for row in found] == [1] * 4
    assert all(agree(project, row.id) for row in found) and states(project, 1)[-1] == "needs_recovery"


def test_a_failed_job_is_continued_by_another_that_takes_its_work(project):
    row = new(project)
    folder = project.runs / row.folder
    (folder / "checkpoints" / "step-3").mkdir(parents=True)
    for name in ("output.txt", "log.txt", "artifact.json", "config.toml"):
        (folder / name).write_text("of the first")
    jobs.claim(project.db, row.id, ME)
    jobs.finish(project.db, row.id, "failed", {"message": "no luck"}, {})
    second = jobs.continued(project.db, row.id)
    assert (second.continues, second.state, second.key) == (row.id, "queued", row.key)
    assert (
        jobs.continued(project.db, row.id).id == jobs.find_or_create(project.db, "", "", "key", {}, {}).id == second.id
    )
    # The second is cancelled before it began: the third finds the work where it was.
    jobs.request_cancel(project.db, second.id)
    third = jobs.continued(project.db, row.id)
    assert begin.take_over(project, third) == ["checkpoints", "output.txt"]
    assert begin.take_over(project, third) == []
    assert (project.runs / third.folder / "checkpoints" / "step-3").is_dir()
    assert {p.name for p in folder.iterdir()} == {"events.jsonl", "log.txt", "artifact.json", "config.toml"}


def test_resuming_starts_one_worker(project, monkeypatch):
    """A job is resumed under its number or as a new one; what runs or waits for its worker is started by nobody else."""
    started = []

    def launch(path, job, folder, reserved=""):
        started.append(job)
        return os.getpid()

    monkeypatch.setattr(begin, "launch", launch)
    row = new(project)
    assert submit.resume(project, row.id).id == row.id and submit.resume(project, row.id).id == row.id
    assert started == [row.id] and jobs.get(project.db, row.id).worker == ME
    jobs.claim(project.db, row.id, ME)
    with pytest.raises(JobError, match="is running: there is nothing to resume"):
        submit.resume(project, row.id)
    jobs.finish(project.db, row.id, "cancelled", {}, {})
    second = submit.resume(project, row.id)
    assert started == [row.id, second.id] and second.continues == row.id
    about = json.loads((project.runs / second.folder / "job.json").read_text())
    assert (about["continues"], about["parent"]) == (row.id, None)


def test_what_was_never_committed_is_taken_back(project):
    """A worker killed between the file and the database, or within a line, leaves no event behind that only one of them has."""
    row = new(project)
    folder = project.runs / row.folder
    events.append(project.db, folder, row.id, "log", {"text": "ሰላም"})
    with (folder / "events.jsonl").open("a") as file:
        file.write('{"time": 1, "kind": "log", "data": {"text": "told to nobody"}}\n{"time": 2, "ki')
    events.append(project.db, folder, row.id, "metric", {"name": "loss", "step": 1, "value": 2.0})
    with pytest.raises(ValueError, match="stop"), transaction(project.db):
        events.append(project.db, folder, row.id, "metric", {"name": "loss", "step": 2, "value": 2.0})
        raise ValueError("stop")
    events.append(project.db, folder, row.id, "log", {"text": "end"})
    assert agree(project, row.id) and len(in_file(project, row.id)) == 4
    assert events.curve(project.db, row.id, "loss") == [(1, 2.0)]


def test_events_of_several_processes_are_in_one_order(project):
    row = new(project)
    code = (
        "import sys; from endonym.project import Project; from endonym.store import events, jobs\n"
        "project = Project(sys.argv[1]); folder = project.runs / jobs.get(project.db, 1).folder\n"
        "for i in range(200): events.append(project.db, folder, 1, 'metric', {'name': sys.argv[2], 'step': i, 'value': i})\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(project.path), name]) for name in "abc"]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0]
    assert agree(project, row.id) and len(in_file(project, row.id)) == 601
    assert all(events.curve(project.db, row.id, name) == [(i, i) for i in range(200)] for name in "abc")


def test_a_database_of_the_first_schema_is_brought_up(tmp_path):
    """Rows, events, metrics and artifacts are all there, references hold, and the new states are possible."""
    path = tmp_path / "home" / ".endonym" / "endonym.db"
    path.parent.mkdir(parents=True)
    old = sqlite3.connect(path, isolation_level=None)
    old.executescript(migrations.STEPS[0])
    old.execute("PRAGMA user_version = 1")
    for number, state in enumerate(("succeeded", "failed", "cancelled", "needs_recovery"), 1):
        old.execute(
            "INSERT INTO jobs (id, verb, key, state, settings, inputs, folder, created, attempt) VALUES (?,?,?,?,?,?,?,?,?)",
            (number, "ingest", f"key {number}", state, '{"stage": {}}', "{}", f"000{number}-ingest", 7.0, 2),
        )
        old.execute(
            "INSERT INTO events (job, time, kind, data) VALUES (?,?,?,?)", (number, 1.0, "log", '{"text": "x"}')
        )
    old.execute("INSERT INTO metrics VALUES (1, 'loss', 3, 0.5)")
    old.execute("INSERT INTO artifacts VALUES (1, 'raw', 'abc', '[]', 9.0)")
    old.close()
    db = connect(path)
    assert [row.state for row in jobs.listing(db)] == ["succeeded", "failed", "cancelled", "needs_recovery"]
    assert all((row.settings, row.created, row.attempt) == ({"stage": {}}, 7.0, 2) for row in jobs.listing(db))
    assert all((row.parent, row.continues, row.needs, row.lost) == (None, None, {}, 0) for row in jobs.listing(db))
    assert [len(list(events.since(db, number))) for number in (1, 2, 3, 4)] == [1, 1, 1, 1]
    assert events.curve(db, 1, "loss") == [(3, 0.5)] and jobs.artifact_hash(db, 1) == "abc"
    assert not db.execute("PRAGMA foreign_key_check").fetchall()
    assert db.execute("PRAGMA foreign_keys").fetchone()[0] == 1
    with pytest.raises(sqlite3.IntegrityError):
        db.execute("INSERT INTO events (job, time, kind, data) VALUES (77, 1, 'log', '{}')")
    jobs.request_pause(db, 4)
    assert jobs.get(db, 4).state == "paused"
    db.close()
    assert connect(path).execute("PRAGMA user_version").fetchone()[0] == len(migrations.STEPS)


def test_a_lost_database_knows_parents_and_what_continues_what(project):
    top = new(project, "a")
    for row in (top, new(project, "b", parent=top.id), new(project, "c")):
        begin.describe(project, row)
    jobs.claim(project.db, 2, ME)
    jobs.finish(project.db, 2, "failed", {"message": "no luck"}, {})
    begin.describe(project, jobs.continued(project.db, 2))
    jobs.request_pause(project.db, 3)
    before = [(r.id, r.parent, r.continues, r.attempt, r.error, r.started is None) for r in jobs.listing(project.db)]
    path = (project.runs / jobs.get(project.db, 3).folder) / "events.jsonl"
    path.write_bytes(path.read_bytes() + b'{"half')
    project.db.close()
    shutil.rmtree(project.path / ".endonym")
    again = Project(project.path)
    found = jobs.listing(again.db)
    assert [(r.id, r.parent, r.continues, r.attempt, r.error, r.started is None) for r in found] == before
    assert [row.state for row in found] == ["needs_recovery", "failed", "paused", "needs_recovery"]
    jobs.requeue(again.db, 3)
    assert agree(again, 3) and states(again, 3) == ["queued", "paused", "queued"]


def wait_until(true, seconds=60):
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found


SLOW = '''"""Count to a number, slowly, and save how far it came."""

import time
from pydantic import BaseModel, ConfigDict, Field

from endonym.types import Doc

EXTENSIONS = (".slow",)


class Config(BaseModel):
    """No settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def read(path, cfg):
    path.with_name("begun").touch()
    for number in range(2000):
        time.sleep(60 if path.read_text() == "hang" else 0.01)
        yield Doc(f"{number}", f"This is line number {number} of a text that is read slowly.", "tzh", f"{path.name}:{number}")
'''


@pytest.fixture
def slow(project) -> Project:
    """A project whose `ingest` takes twenty seconds."""
    folder = project.path / "plugins" / "reader"
    folder.mkdir(parents=True)
    (folder / "slow.py").write_text(SLOW, encoding="utf-8")
    (project.path / "raw" / "a.slow").write_text("x")
    project.add_source({"files": ["raw/a.slow"], "licence": "CC0"})
    return project


@pytest.mark.parametrize("how", ["asked", "signal", "group", "twice", "cancel"])
def test_a_signal_pauses_as_asking_does(slow, how):
    """However often it is heard; a second one, later, ends a stage that does not look."""
    if how == "twice":
        (slow.path / "raw" / "a.slow").write_text("hang")
    row = submit.submit(slow, "ingest")
    row = wait_until(lambda: (r := jobs.get(slow.db, row.id)).state == "running" and r)
    wait_until((slow.path / "raw" / "begun").exists)
    worker, guard = (int(pid) for pid in row.worker.split("|")[2::2])
    if how == "asked":
        assert jobs.request_pause(slow.db, row.id) == "running"
    elif how == "cancel":
        assert jobs.request_cancel(slow.db, row.id) == "running"
    elif how == "group":
        os.killpg(guard, signal.SIGTERM)
    else:
        os.kill(worker, signal.SIGINT)
    if how == "twice":
        time.sleep(1.1)
        os.kill(worker, signal.SIGTERM)
    wait_until(lambda: jobs.get(slow.db, row.id).state not in jobs.ACTIVE)
    ended = jobs.get(slow.db, row.id)
    assert ended.state == ("cancelled" if how == "cancel" else "paused"), ended.error
    assert agree(slow, row.id) and is_alive(row.worker) in (True, False)
    if how == "asked":
        again = submit.submit(slow, "ingest")
        assert again.id == row.id
        wait_until(lambda: jobs.get(slow.db, row.id).state == "running")
        assert jobs.get(slow.db, row.id).attempt == 2
        jobs.request_cancel(slow.db, row.id)
        wait_until(lambda: jobs.get(slow.db, row.id).state == "cancelled")


def test_a_database_that_is_busy_for_long_fails_no_job(project, monkeypatch):
    """Whoever holds the lock may get no time on a crowded machine; what is to be written waits for it."""
    monkeypatch.setattr("endonym.store.db.BUSY_SECONDS", 0.05)
    row, tries = new(project), iter(range(100))
    other, writer = project.connect(), project.connect()
    other.execute("BEGIN IMMEDIATE")

    def write() -> None:
        if next(tries) == 2:
            other.execute("ROLLBACK")
        events.append(writer, project.runs / row.folder, row.id, "log", {"text": "at last"})

    patiently(write, give_up=lambda: True)
    assert next(tries) == 3 and agree(project, row.id)


def test_a_job_whose_folder_was_deleted_is_done_again(project):
    row = new(project)
    jobs.claim(project.db, row.id, ME)
    jobs.finish(project.db, row.id, "succeeded", {}, {}, {"kind": "raw", "hash": "hash", "parents": []})
    assert new(project).id == jobs.newest_artifact(project.db, "raw") == row.id
    shutil.rmtree(project.runs / row.folder)
    assert jobs.newest_artifact(project.db, "raw") is None
    assert new(project).id == row.id + 1
