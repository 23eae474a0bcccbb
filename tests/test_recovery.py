"""Accidents during training: each leaves the loss curve, and the recipe, as they would have been."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import endonym.jobs.submit as submitting
from endonym.errors import JobError
from endonym.jobs.submit import submit
from endonym.models.render import Example
from endonym.project import Project
from endonym.store import events, room
from endonym.train import checkpoint, recovery
from endonym.train.recipes.lora import Config
from endonym.train.step import RECENT, credible
from tests.test_recipes import FEW, project  # noqa: F401

FAULTY = Path(__file__).parent / "data" / "faulty.py"
DICE = random.Random(3)


@pytest.fixture(scope="module")
def shaky(project: Project) -> Project:  # noqa: F811
    """The project with a recipe that meets with accidents."""
    folder = project.path / "plugins" / "recipe"
    folder.mkdir(parents=True)
    shutil.copy(FAULTY, folder)
    return project


@pytest.fixture(scope="module")
def undisturbed(shaky: Project) -> list[tuple[int, float]]:
    return run(shaky)[1]


def run(shaky: Project, **settings) -> tuple[int, list[tuple[int, float]], list[str]]:
    """Train with an accident; returns the job, its loss curve and its messages."""
    row = submit(shaky, "train", "faulty", {**FEW, "save_every": 3, "dtype": "float32", **settings}, wait=True)
    told = [e.data["text"] for e in events.since(shaky.db, row.id) if e.kind in ("log", "warning")]
    return row.id, curve(shaky, row.id), told


def curve(shaky: Project, job: int) -> list[tuple[int, float]]:
    """The loss of every step; of a step that was taken twice, the last."""
    return sorted(dict(events.curve(shaky.db, job, "loss")).items())


def same(found: list[tuple[int, float]], wanted: list[tuple[int, float]]) -> bool:
    return len(found) == len(wanted) and all(
        step == s and abs(value - v) < 1e-5 for (step, value), (s, v) in zip(found, wanted, strict=True)
    )


def test_out_of_memory_restarts_with_smaller_packs_and_the_same_curve(shaky, undisturbed):
    job, found, told = run(shaky, fault="memory", at=DICE.randrange(3, 12), limit=500)
    assert any("768 tokens at once" in text for text in told) and any("384 tokens at once" in text for text in told)
    assert any(text.startswith("going on from the checkpoint") for text in told)
    assert same(found, undisturbed)
    assert submitting.rows.get(shaky.db, job).attempt == 3


def test_out_of_memory_recomputes_activations_when_packs_cannot_be_smaller(shaky, undisturbed):
    _, found, told = run(shaky, fault="memory", at=DICE.randrange(3, 12), limit=500, batch_tokens=511, steps=8)
    assert any("activations are computed twice" in text for text in told)
    assert same(found, undisturbed)


def test_the_kernels_kill_counts_as_out_of_memory(shaky, undisturbed, monkeypatch):
    """The kernel's counter cannot be moved here, so the guard is told that it has; the kill itself is real."""
    code = (
        "import sys, itertools, endonym.worker as w; count = itertools.count();"
        "w.out_of_memory_kills = lambda: next(count); sys.exit(w.guarded(sys.argv[1:]))"
    )

    def launch(home, row):
        folder = home.runs / row.folder
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "log.txt").open("ab") as log:
            subprocess.Popen([sys.executable, "-c", code, str(home.path), str(row.id)], stdout=log, stderr=log)

    monkeypatch.setattr(submitting, "start", launch)
    _, found, told = run(shaky, fault="killed", at=DICE.randrange(3, 12), limit=800)
    assert any("the system ended the process: out of memory" in text for text in told)
    assert same(found, undisturbed)


def test_numbers_that_break_once_are_computed_again(shaky, undisturbed):
    _, found, told = run(shaky, fault="broken", at=DICE.randrange(3, 12))
    assert any("not credible; back to the last checkpoint" in text for text in told)
    assert same(found, undisturbed)


def test_rows_that_always_break_are_passed_over_and_named(shaky, undisturbed):
    rare = _rare_token(shaky)
    job, found, told = run(shaky, fault="broken_rows", limit=rare)
    named = [text for text in told if "were passed over" in text]
    assert 1 <= len(named) <= 8 and ".csv" in named[0]
    assert len(found) == len(undisturbed) and all(value == value for _, value in found)
    ledger = (shaky.output(job) / "ledger.jsonl").read_text(encoding="utf-8")
    assert "train.not_credible" in ledger


def test_a_full_disk_pauses_and_goes_on(shaky, undisturbed):
    job, found, told = run(shaky, fault="disk", at=DICE.randrange(2, 7))
    assert any(text.startswith("paused: the disk is full") for text in told)
    assert any(text.startswith("there is room again") for text in told)
    assert same(found, undisturbed)
    assert not (shaky.runs / submitting.rows.get(shaky.db, job).folder / "reserve").exists()


def test_a_full_disk_costs_finished_jobs_their_leftovers_and_others_nothing(tmp_path):
    for name in ("0001-train", "0002-train", "0003-export"):
        for part in ("checkpoints", "uncertified", "output"):
            (tmp_path / name / part).mkdir(parents=True)
            (tmp_path / name / part / "file").write_bytes(b"12345")
    for name in ("0001-train", "0003-export"):
        (tmp_path / name / "artifact.json").write_text("{}")
    assert room.clear(tmp_path) == 20 and room.clear(tmp_path) == 0
    left = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.glob("*/*/file"))
    assert left == [
        "0001-train/output/file", "0002-train/checkpoints/file", "0002-train/output/file", "0002-train/uncertified/file",
        "0003-export/output/file",
    ]  # fmt: skip


def _rare_token(shaky: Project) -> int:
    """The rarest token among the rows of the first step."""
    from collections import Counter

    from endonym.data.dataset import Dataset
    from endonym.models.load import load_tokenizer
    from endonym.train.batches import order
    from endonym.train.rows import chats_of

    renderer = load_tokenizer(shaky.base).renderer
    chats = chats_of(Dataset(shaky.newest("chats"), "train"), "train")
    rows: list[Example] = [renderer.example(chat, every_turn=True) for chat in chats]
    held = Counter(token for row in rows for token in set(row.ids))
    first = order(len(rows), [c.weight for c in chats], shaky.seed, 0)[: FEW["batch_size"]]
    return min((t for i in first for t in rows[i].ids), key=held.__getitem__)


def test_a_run_is_made_lighter_step_by_step_until_nothing_is_left(tmp_path):
    cfg, told = Config(batch_tokens=1536), []
    while change := recovery.lighten(tmp_path, cfg):
        told.append((recovery.read(tmp_path).applied(cfg).batch_tokens, recovery.read(tmp_path).recompute, change[:3]))
    assert told == [(768, False, "768"), (384, False, "384"), (384, True, "act")]


def test_which_errors_mean_what():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert recovery.is_out_of_memory(caught.value) and recovery.is_out_of_memory(MemoryError())
    assert recovery.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not recovery.is_out_of_memory(RuntimeError("shapes do not match"))
    with pytest.raises(OSError) as full, open("/dev/full", "wb", buffering=0) as device:
        device.write(b"x")
    assert room.is_full(full.value) and not room.is_full(FileNotFoundError())
    assert room.is_full(sqlite3.OperationalError("database or disk is full"))


def test_a_leap_of_the_loss_is_not_credible_and_noise_is():
    usual = [2.0 + 0.3 * DICE.random() for _ in range(RECENT)]
    assert credible(3.0, usual) and credible(9.0, usual[1:])
    assert not credible(9.0, usual) and not credible(float("inf"), []) and not credible(float("nan"), usual)
    wild = [DICE.choice([0.5, 6.0]) for _ in range(RECENT)]
    assert credible(12.0, wild)


def test_a_killed_job_of_a_living_guard_is_not_dead():
    from endonym.store.process import identity, is_alive
    from endonym.worker import out_of_memory_kills

    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    me = identity(child.pid)
    gone = me.replace(f"|{os.getpid()}|", "|999999|")
    assert is_alive(me) and is_alive(gone)
    child.kill()
    child.wait()
    assert out_of_memory_kills() >= 0
    assert is_alive(me) and is_alive(gone) is False and is_alive("") is None


def test_a_worker_that_cannot_start_fails_its_job(shaky, monkeypatch):
    def launch(home, row):
        code = "import sys, endonym.worker as w; w.main = lambda *_: 1 / 0; w.guarded(sys.argv[1:])"
        subprocess.Popen([sys.executable, "-c", code, str(home.path), str(row.id)], stderr=subprocess.DEVNULL)

    monkeypatch.setattr(submitting, "start", launch)
    with pytest.raises(JobError, match="could not start"):
        submit(shaky, "train", "faulty", {**FEW, "steps": 3}, wait=True)


@pytest.mark.parametrize("file", ["weights.safetensors", "state.json", "manifest.json"])
def test_a_step_whose_checkpoint_was_damaged_is_saved_anew(tmp_path, file):
    """A run that went back over it comes to the same step again; what is damaged must neither stop it nor stand for the new one."""
    weights = {"w": torch.nn.Parameter(torch.zeros(3))}
    optimizer = torch.optim.AdamW(weights.values())

    def save(step: int) -> Path:
        state = checkpoint.State(step=step, best_step=step - 1)
        return checkpoint.save(tmp_path, state, checkpoint.collected(weights, optimizer, {}))

    save(1)
    damaged = save(2) / file
    damaged.write_bytes(damaged.read_bytes()[:20])
    assert checkpoint.newest(tmp_path).name == "step-00000001"
    assert 0 in checkpoint.best_steps(tmp_path) and checkpoint.oldest_step(tmp_path) == 1
    assert checkpoint.verifies(save(2)) and sorted(checkpoint.best_steps(tmp_path)) == [0, 1]
