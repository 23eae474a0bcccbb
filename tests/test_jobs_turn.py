"""What the machine has is not given twice, nobody waits for ever, and what lost its worker is looked after."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from endonym.config import Layer
from endonym.jobs import begin, submit, tend
from endonym.jobs.stage import load_stage, resolve
from endonym.jobs.turn import wait_for_turn
from endonym.models import needs, weights
from endonym.models.needs import size_of, to_train
from endonym.store import events, jobs, tokens
from endonym.store.process import is_alive
from endonym.store.tokens import Needs
from tests.test_jobs import ME, agree, dead, new, project, slow, states, wait_until  # noqa: F401

GB = 1_000_000_000


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch) -> None:
    """A machine of ten gigabytes that nobody else knows of."""
    monkeypatch.setenv("ENDONYM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ENDONYM_MEMORY_GB", "10")


@pytest.fixture
def others():
    """Processes that live as long as the test: their identities."""
    running = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) for _ in range(4)]
    yield [identity_of(process) for process in running]
    for process in running:
        process.kill()
        process.wait()


def identity_of(process) -> str:
    from endonym.store.process import identity_of

    return identity_of(process.pid)


def ask(worker: str, gigabytes: float, folder: Path, **more) -> str:
    return tokens.ask(worker, f"job of {gigabytes} GB", Needs(int(gigabytes * GB)), folder, **more)


def test_no_more_is_given_than_there_is_and_the_dead_hold_nothing(others, tmp_path):
    a, b, c, _ = others
    assert ask(a, 6, tmp_path) == "" == ask(a, 6, tmp_path)
    assert "5.0 GB of memory, 4.0 GB are free" in ask(b, 5, tmp_path)
    assert ask(c, 4, tmp_path) == ""
    tokens.give_back(c)
    os.kill(int(a.split("|")[2]), signal.SIGKILL)
    wait_until(lambda: not is_alive(a))
    assert ask(b, 5, tmp_path) == ""


def test_a_need_above_the_machine_runs_alone(others, tmp_path):
    a, b, c, _ = others
    assert ask(a, 1, tmp_path) == "" and ask(b, 50, tmp_path)
    tokens.give_back(a)
    assert ask(b, 50, tmp_path) == "" and ask(c, 0.1, tmp_path)


def test_small_jobs_pass_a_big_one_for_a_while_only(others, tmp_path, monkeypatch):
    a, big, small, late = others
    assert ask(a, 5, tmp_path) == "" and ask(big, 8, tmp_path)
    assert ask(small, 2, tmp_path) == ""
    monkeypatch.setattr(tokens, "PATIENCE_SECONDS", 0.0)
    time.sleep(0.01)
    assert "kept for job of 8 GB, which waits longer" in ask(late, 2, tmp_path)
    tokens.give_back(a)
    assert ask(late, 2, tmp_path) and ask(big, 8, tmp_path) == ""
    assert ask(late, 2, tmp_path)


def test_what_others_wait_for_comes_first(others, tmp_path):
    a, first, child, _ = others
    assert ask(a, 9, tmp_path) == "" and ask(first, 6, tmp_path) and ask(child, 6, tmp_path, priority=1)
    tokens.give_back(a)
    assert ask(first, 6, tmp_path) and ask(child, 6, tmp_path, priority=1) == ""


def test_disk_and_gpus_are_shared_as_well(others, tmp_path, monkeypatch):
    a, b, *_ = others
    free = 10 * GB
    monkeypatch.setattr(tokens.shutil, "disk_usage", lambda path: type("Usage", (), {"free": free}))
    assert tokens.ask(a, "a", Needs(0, 7 * GB), tmp_path) == ""
    assert "of room on the disk" in tokens.ask(b, "b", Needs(0, 4 * GB), tmp_path)
    for worker in (a, b):
        tokens.give_back(worker)
    assert tokens.ask(a, "a", Needs(0, 0, 1), tmp_path) == ""  # there is none: it runs alone
    assert "1 GPUs of" in tokens.ask(b, "b", Needs(0, 0, 1), tmp_path)
    assert tokens.ask(ME, "a job that only waits for others", Needs(0), tmp_path) == ""


def test_who_waits_for_room_on_another_disk_takes_none_here(others, tmp_path, monkeypatch):
    a, waiting, here, _ = others
    monkeypatch.setattr(tokens.shutil, "disk_usage", lambda path: SimpleNamespace(free=10 * GB))
    elsewhere = SimpleNamespace(stat=lambda: SimpleNamespace(st_dev=-7))
    assert tokens.ask(a, "a", Needs(0, 7 * GB), elsewhere) == ""
    assert "of room on the disk" in tokens.ask(waiting, "b", Needs(0, 5 * GB), elsewhere)
    assert tokens.ask(here, "c", Needs(0, 6 * GB), tmp_path) == ""


def test_a_worker_that_waits_says_so_once_and_can_be_paused(project, others):  # noqa: F811
    ask(others[0], 9, project.path)
    row = new(project)
    assert jobs.reserve(project.db, row.id, ME)
    jobs.set_needs(project.db, row.id, {"memory_bytes": 3 * GB})
    polls = iter(range(100))
    assert not wait_for_turn(project, row.id, ME, lambda: next(polls) == 2)
    told = [e.data for e in events.since(project.db, row.id) if e.kind == "waiting"]
    assert len(told) == 1 and told[0]["memory_bytes"] == 3 * GB and "3.0 GB of memory" in told[0]["text"]
    assert jobs.get(project.db, row.id).state == "paused" and agree(project, row.id)
    jobs.requeue(project.db, row.id)
    assert jobs.reserve(project.db, row.id, others[1])
    assert not wait_for_turn(project, row.id, ME, lambda: False)  # it is another's now


def test_a_real_worker_waits_runs_and_gives_back(slow, others, monkeypatch):  # noqa: F811
    ask(others[0], 9.9, slow.path)
    row = submit.submit(slow, "ingest")
    wait_until(lambda: [e for e in events.since(slow.db, row.id) if e.kind == "waiting"])
    waiting = jobs.get(slow.db, row.id)
    assert waiting.state == "queued" and is_alive(waiting.worker)
    assert waiting.needs == {"memory_bytes": tokens.SMALL_BYTES, "disk_bytes": 0, "gpus": 0}
    assert not begin.start(slow, waiting) and tend.tend(slow) == []
    # The one that waits is killed: that is noticed, and another waits in its place.
    os.kill(int(waiting.worker.split("|")[2]), signal.SIGKILL)
    wait_until(lambda: is_alive(waiting.worker) is False)
    assert tend.tend(slow) == [row.id]
    os.kill(int(wait_until(lambda: (w := jobs.get(slow.db, row.id).worker) != ME and w).split("|")[2]), signal.SIGTERM)
    wait_until(
        lambda: (
            jobs.get(slow.db, row.id).state in ("paused", "queued") and not is_alive(jobs.get(slow.db, row.id).worker)
        )
    )
    tokens.give_back(others[0])
    submit.resume(slow, row.id)
    wait_until(lambda: jobs.get(slow.db, row.id).state == "running")
    assert ask(others[1], 9.9, slow.path)
    jobs.request_cancel(slow.db, row.id)
    wait_until(lambda: jobs.get(slow.db, row.id).state == "cancelled")
    wait_until(lambda: not ask(others[1], 9.9, slow.path))


def test_needs_are_told_from_the_files_of_a_model(tiny_model):
    assert size_of(tiny_model).layers == json.loads((tiny_model / "config.json").read_text())["num_hidden_layers"]
    adapters, whole = to_train(tiny_model, 1536, 16, 3), to_train(tiny_model, 1536, 0, 3)
    assert 0 < adapters.memory_bytes - 10**9 < whole.memory_bytes and adapters.disk_bytes < whole.disk_bytes
    assert size_of("no such model") is None and to_train("no such model", 1536, 0, 3).memory_bytes


def test_a_base_that_is_not_here_is_neither_made_nor_taken_for_nothing(monkeypatch):
    monkeypatch.setattr(weights, "get", lambda *_, **__: pytest.fail("telling a size gets no model"))
    monkeypatch.setattr(weights, "_local_wheel", lambda entry: pytest.fail("nor makes one"))
    monkeypatch.setattr(needs, "machine", lambda: Needs(10 * GB, 0, 2))
    assert size_of("smollm2-1_7b") is None
    unknown, known = to_train("no such model", 1536, 8, 3, devices=1), to_train("smollm2-1_7b", 1536, 8, 3, devices=0)
    assert (unknown.gpus, known.gpus) == (1, 2) and known.memory_bytes > 4 * 1.5 * GB > unknown.memory_bytes
    assert needs.to_answer("smollm2-1_7b").memory_bytes > 4 * 1.5 * GB


@pytest.mark.parametrize(
    ("verb", "plugin", "settings", "trains"),
    [
        ("score", "", {"plugins": ["length"]}, None),
        ("score", "", {"plugins": ["length", "base_loss"]}, False),
        ("tokenizer", "report", {}, None),
        ("tokenizer", "decide", {}, True),
        ("augment", "", {}, True),
        ("augment", "", {"trial_steps": 0}, None),
        ("augment", "", {"trial_steps": 0, "plugins": ["back_translate"]}, False),
    ],
)
def test_verbs_that_may_compute_with_the_base_say_so(tiny_model, tmp_path, verb, plugin, settings, trains):
    stage = load_stage(verb)
    resolved = resolve(stage, plugin, [Layer("line", settings)], tmp_path)
    found = stage.module.needs(resolved, {}, SimpleNamespace(base=str(tiny_model)))
    least, trained = needs.to_answer(tiny_model), needs.to_train(tiny_model, 2048, 16, 0)
    assert found.disk_bytes == 0
    if trains is None:
        assert found == Needs()
    elif trains:
        assert found.memory_bytes >= trained.memory_bytes
    else:
        assert found == least


def test_a_lost_worker_is_replaced_three_times(project, monkeypatch):  # noqa: F811
    monkeypatch.setattr(begin, "launch", lambda *_: os.getpid())
    row, gone = new(project), dead()
    for lost in range(1, 5):
        jobs.hand_over(project.db, row.id, ME, "")
        jobs.claim(project.db, row.id, gone)
        assert tend.tend(project) == ([row.id] if lost < 4 else [])
        assert jobs.get(project.db, row.id).lost == lost
    row = jobs.get(project.db, row.id)
    assert row.state == "needs_recovery" and "4 times in a row" in row.error["message"] and tend.tend(project) == []
    assert states(project, row.id) == [
        "queued",
        *["running", "needs_recovery", "queued"] * 3,
        "running",
        "needs_recovery",
    ]
    jobs.requeue(project.db, row.id)
    assert tend.tend(project) == [row.id] and jobs.get(project.db, row.id).lost == 0


def test_a_worker_that_lives_long_counts_as_none_lost(project):  # noqa: F811
    row = new(project)
    jobs.claim(project.db, row.id, dead())
    jobs.notice_dead(project.db)
    jobs.restart(project.db, row.id)
    jobs.claim(project.db, row.id, ME)
    assert jobs.renew(project.db, row.id) == "" and jobs.get(project.db, row.id).lost == 1
    assert jobs.renew(project.db, row.id, steady=True) == "" and jobs.get(project.db, row.id).lost == 0


def test_a_job_that_was_left_without_a_worker_gets_one(project, monkeypatch):  # noqa: F811
    """Its starter was killed after it had put it in the queue, before or after it wrote itself down."""
    started = []
    monkeypatch.setattr(begin, "launch", lambda path, job, *_: started.append(job) or os.getpid())
    first, second, paused = new(project, "a"), new(project, "b"), new(project, "c")
    jobs.reserve(project.db, second.id, dead())
    jobs.request_pause(project.db, paused.id)
    assert tend.tend(project) == started == [first.id, second.id] and tend.tend(project) == []
    assert (project.runs / first.folder / "job.json").is_file()


def test_several_tend_at_once_and_each_job_gets_one_worker(project):  # noqa: F811
    rows = [new(project, str(i)) for i in range(12)]
    code = (
        "import os, sys, time; from endonym.jobs import begin, tend; from endonym.project import Project\n"
        "begin.launch = lambda *_: os.getpid()\n"
        "project = Project(sys.argv[1]); time.sleep(max(0, float(sys.argv[2]) - time.time()))\n"
        "print(*tend.tend(project)); sys.stdout.flush(); time.sleep(2)\n"
    )
    command = [sys.executable, "-c", code, str(project.path), str(time.time() + 3)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    got = [int(job) for process in running for job in process.communicate(timeout=60)[0].split()]
    assert sorted(got) == [row.id for row in rows]


def test_what_does_not_end_when_asked_is_ended(slow, monkeypatch):  # noqa: F811
    """A stage that neither looks whether it should stop nor lets itself be interrupted."""
    text = (slow.path / "plugins" / "reader" / "slow.py").read_text()
    stubborn = text.replace(
        "    for number in range(2000):\n",
        "    import signal\n    signal.signal(15, signal.SIG_IGN)\n    for number in range(2000):\n",
    )
    (slow.path / "plugins" / "reader" / "slow.py").write_text(stubborn)
    (slow.path / "raw" / "a.slow").write_text("hang")
    monkeypatch.setattr(tend, "TERM_SECONDS", 0.5)
    monkeypatch.setattr(tend, "KILL_SECONDS", 1.5)
    row = submit.submit(slow, "ingest")
    wait_until((slow.path / "raw" / "begun").exists)
    worker = jobs.get(slow.db, row.id).worker
    jobs.request_cancel(slow.db, row.id)
    tend.tend(slow)
    assert not [e for e in events.since(slow.db, row.id) if e.kind == "ladder"]

    def ended() -> bool:
        tend.tend(slow)
        return jobs.get(slow.db, row.id).state != "running"

    wait_until(ended)
    assert jobs.get(slow.db, row.id).state == "cancelled" and is_alive(worker) is False
    assert [e.data["rung"] for e in events.since(slow.db, row.id) if e.kind == "ladder"] == [1, 2]
    assert agree(slow, row.id)
