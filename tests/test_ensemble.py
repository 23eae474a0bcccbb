"""An ensemble is measured as the mean of its members' probabilities, and one model learns from it; killed, it goes on where it was."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from endonym.jobs.submit import submit
from endonym.models.generate import Sampling, generate_batch
from endonym.models.load import load_artifact, load_model, on_bytes
from endonym.models.render import IGNORE, Example
from endonym.project import Project
from endonym.store import events, jobs
from endonym.store.files import hash_folder
from endonym.train import searched
from endonym.train.batches import pack
from endonym.train.distil import distilled, together
from endonym.train.losses import next_token
from endonym.train.network import ready
from endonym.train.recipes import ensemble, hierarchical

SMALL = {"width": 32, "layers": 3, "ngram_rows": 64, "dropout": 0.0}
FEW = {
    "steps": 4, "batch_size": 8, "evaluate_every": 2, "save_every": 2, "valid_rows": 8, "samples": 1, "dtype": "float32", "max_length": 400,
    "learning_rate": 2e-3,
}  # fmt: skip


def test_both_losses_are_what_a_hand_computes():
    """-log of the mean of the probabilities; and the cross-entropy against that mean and the text, with its gradient."""
    cfg = hierarchical.Config(**SMALL, dtype="float32")
    empty = on_bytes(Path())
    models = [hierarchical.network(cfg.model_copy(update={"seed": seed}))(empty) for seed in (1, 2, 3)]
    for model in models:
        ready(empty, model)
    *members, student = models
    for member in members:
        member.eval()
        with torch.no_grad():  # Members of random weights are all alike.
            member.lm_head.weight.mul_(20)
    rows = [[9, 70, 71, 72, 40], [9, 40, 200, 201]]
    batch = pack([Example(ids, [IGNORE, *ids[1:]]) for ids in rows], torch.device("cpu"))

    def told(model, ids):
        return model(torch.tensor([ids])).logits[0, :-1].softmax(-1)

    right, mixed = 0.0, 0.0
    for ids in rows:
        mean = (told(members[0], ids) + told(members[1], ids)) / 2
        at = torch.arange(len(ids) - 1), torch.tensor(ids[1:])
        right = right - mean[at].log().sum()
        own = told(student, ids).log()
        mixed = mixed - 0.25 * own[at].sum() - 0.75 * (mean.detach() * own).sum()
    assert together(members)(student, batch).item() == pytest.approx(right.item(), rel=1e-5)
    wanted = torch.autograd.grad(mixed, student.lm_head.weight)[0]
    loss = distilled(members, 0.75)
    value = loss(student.train(), batch)
    value.backward()
    assert value.item() == pytest.approx(mixed.item(), rel=1e-5)
    assert torch.allclose(student.lm_head.weight.grad, wanted, atol=1e-5)
    assert all(p.grad is None for member in members for p in member.parameters())
    assert loss(student.eval(), batch).item() == pytest.approx(next_token(student, batch).item())


def test_what_the_recipe_does_not_know_is_told_at_once():
    with pytest.raises(Exception, match="chunk_size"):
        ensemble.Config(settings={"chunk_size": 3})
    own = ensemble.Config(recipe="bytelatent", steps=7, settings={"width": "64", "patches": "entropy"}).member(2)
    assert (own.steps, own.width, own.seed, own.learning_rate, own.first_steps) == (7, 64, 22, 2e-3, 1)


def wait_until(project: Project, job: int, line: str) -> None:
    until = time.monotonic() + 300
    while not any(line in e.data["text"] for e in events.since(project.db, job) if e.kind == "log"):
        assert time.monotonic() < until and jobs.get(project.db, job).state in ("queued", "running")
        time.sleep(0.02)


def test_an_ensemble_is_trained_killed_and_goes_on_to_one_model(composed, copied, tmp_path):
    """Of members with a patcher. Killed while the last model learns, members are not trained again, and the weights are the same."""
    project, other = (Project(copied(composed, tmp_path / name)) for name in ("project", "other"))
    settings = {
        **FEW,
        "recipe": "bytelatent",
        "members": 2,
        "settings": {**SMALL, "patcher_width": 16, "patcher_layers": 1},
    }
    row = submit(project, "train", "ensemble", settings, wait=True)
    folder = project.output(row.id)
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    alone, both = about["ensemble"]["members_valid_loss"], about["ensemble"]["valid_loss"]
    assert about["recipe"] == "ensemble" and about["settings"]["patcher_width"] == 16
    assert len(set(alone)) == 2 and both <= sum(alone) / 2 and about["best_valid_loss"] > 0
    loaded = load_artifact(folder, "float32")
    assert generate_batch(loaded, [loaded.renderer.prompt_ids(())], Sampling(max_new_tokens=5))[0]
    first, second = (load_file(folder / "members" / n / "model.safetensors") for n in "12")
    assert any(not torch.equal(value, second[name]) for name, value in first.items())
    assert load_model(folder / "members" / "1", None, "float32").model.config.patching_threshold > 0
    assert not list((project.runs / str(row.id) / "checkpoints").glob("member*"))
    again = submit(other, "train", "ensemble", settings)
    wait_until(other, again.id, "validation loss of the members")
    os.kill(int(jobs.get(other.db, again.id).worker.split("|")[2]), signal.SIGKILL)
    while jobs.get(other.db, again.id).state == "running":
        jobs.notice_dead(other.db)
    again = submit(other, "train", "ensemble", settings, wait=True)
    for name in ("members", "weights"):
        assert hash_folder(folder / name) == hash_folder(other.output(again.id) / name), name
    assert [step for step, _ in events.curve(other.db, again.id, "member-2/loss")] == [1, 2, 3, 4]


def test_a_search_chooses_one_setting_after_the_other(monkeypatch):
    """Weight decay first, dropout with the best of it; what is cancelled ends the search."""
    cfg = hierarchical.Config(search_steps=9, **{**SMALL, "dropout": 0.1})
    asked: list[str] = []

    def outcome(part, own, build, prepared, job):
        asked.append(part)
        assert (own.steps, own.search_steps, own.patience, own.width) == (9, 9, 0, 32)
        loss = abs(own.weight_decay - 0.6) + (own.dropout - 0.1) ** 2
        return None if len(asked) == stop else SimpleNamespace(curve=[[0, 9.0], [5, loss], [9, loss + 1]])

    monkeypatch.setattr(searched, "outcome", outcome)
    stop, job = 0, SimpleNamespace(log=lambda text: None)
    best = searched.searched(cfg, hierarchical.network, None, ((), (), ()), job)
    assert (best.weight_decay, best.dropout) == (0.5, 0.1) and best.steps == cfg.steps
    assert asked == [f"search-{x}" for x in ("0.1-0.1", "0.5-0.1", "1-0.1", "1.6-0.1", "0.5-0", "0.5-0.1", "0.5-0.2")]
    assert cfg.searched_steps == 9 * len(asked) and hierarchical.all_steps(cfg) == cfg.steps + 63
    stop = len(asked) + 5
    assert searched.searched(cfg, hierarchical.network, None, ((), (), ()), job) is None
    assert searched.searched(best.model_copy(update={"search_steps": 0}), hierarchical.network, None, ((), (), ()), job)
    with pytest.raises(ValueError, match="searches for no settings"):
        ensemble.Config(settings={"search_steps": 3})
