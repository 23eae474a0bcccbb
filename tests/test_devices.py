"""Several devices train what one would: same losses and weights, whole files, and nobody is left behind when one of them ends."""

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
import torch
from safetensors.torch import load_file

from endonym.errors import ConfigError, JobError
from endonym.jobs.submit import resume, submit
from endonym.models.load import load_model
from endonym.models.render import Example
from endonym.project import Project
from endonym.store import events, jobs
from endonym.train import ranks, recovery
from endonym.train.batches import micro_batches
from endonym.train.forecast import Memory, divided, put_together
from endonym.train.ranks import _Other, _Watch, together
from endonym.train.recipes import lora, qlora
from endonym.train.sharded import BLANK, Several, count
from tests.test_recipes import project  # noqa: F401

ROOT = Path(__file__).parent.parent
SECONDS = 300


@pytest.fixture(scope="module")
def runs(tiny_model, tmp_path_factory) -> Path:
    """The runs of `tests/data/devices.py`, each with its weights and curves."""
    out = tmp_path_factory.mktemp("devices")
    command = [sys.executable, "-m", "tests.data.devices", str(tiny_model), str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def of(runs: Path, name: str) -> tuple[dict[str, torch.Tensor], dict]:
    return load_file(runs / f"{name}.safetensors"), json.loads((runs / f"{name}.json").read_text(encoding="utf-8"))


def alike(runs: Path, first: str, second: str, tolerance: float) -> bool:
    """Whether two runs end with the same weights and have the same curves."""
    (one, told), (other, heard) = of(runs, first), of(runs, second)
    assert one.keys() == other.keys() and (told["learned"], told["tokens"]) == (heard["learned"], heard["tokens"])
    near = all(float((one[n] - other[n]).norm()) <= tolerance * float(one[n].norm()) for n in one)
    curves = [(told["curves"][name], heard["curves"][name]) for name in ("loss", "valid_loss", "norm")]
    shared = [(a[step], b[step]) for a, b in curves for step in a.keys() & b.keys()]
    return near and len(shared) >= 4 and all(abs(a - b) <= tolerance * abs(a) for a, b in shared)


@pytest.mark.parametrize("recipe", ["lora", "full"])
def test_two_devices_learn_what_one_does(runs, recipe):
    assert alike(runs, f"{recipe}-1", f"{recipe}-2", 1e-5)


def test_three_devices_share_matrices_of_two_rows(runs):
    weights, told = of(runs, "lora-3")
    assert told["curves"]["valid_loss"]["12"] < told["curves"]["valid_loss"]["0"]
    assert weights and all(tensor.isfinite().all() and tensor.any() for tensor in weights.values())


def test_frozen_bf16_weights_under_fp32_adapters(runs):
    assert alike(runs, "bf16-1", "bf16-2", 3e-2)
    assert {tensor.dtype for tensor in of(runs, "bf16-2")[0].values()} == {torch.float32}


def test_recomputed_activations_change_nothing(runs):
    assert alike(runs, "full-1", "recomputed", 1e-5)


def test_killed_devices_go_on_to_the_same_weights_to_the_bit(runs):
    """With dropout, so that the random numbers of each device must be taken up again, and with the mean of several steps."""
    whole, broken = of(runs, "dropped")[0], of(runs, "killed")
    assert any("going on from the checkpoint of step 8" in line for line in broken[1]["lines"])
    assert all(torch.equal(whole[name], broken[0][name]) for name in whole)


@pytest.mark.parametrize("way", ["from-2-to-1", "from-1-to-2"])
def test_a_checkpoint_is_read_by_another_number_of_devices(runs, way):
    assert any("going on from the checkpoint of step 8" in line for line in of(runs, way)[1]["lines"])
    assert all(
        float((one - other).norm()) <= 1e-5 * float(one.norm())
        for one, other in zip(of(runs, "full-1")[0].values(), of(runs, way)[0].values(), strict=True)
    )


def _until(true) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _pids(project: Project, job: int, steps: int = 1) -> list[int]:  # noqa: F811
    """The worker of a job and the other device's process, once both are there and so many steps more are trained."""
    known = len(events.curve(project.db, job, "loss"))
    found: list[int] = []

    def there() -> bool:
        row = jobs.get(project.db, job)
        assert row.state in ("queued", "running"), row.error
        worker = row.worker.split("|")[2] if row.state == "running" else "0"
        children = Path(f"/proc/{worker}/task/{worker}/children")
        found[:] = [int(worker), *map(int, children.read_text(encoding="ascii").split())] if children.exists() else []
        return len(found) == 2 and len(events.curve(project.db, job, "loss")) >= known + steps

    _until(there)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_a_device_that_ends_fails_the_job_and_nobody_is_left_behind(project):  # noqa: F811
    settings = {"devices": 2, "steps": 900, "batch_size": 2, "evaluate_every": 900, "save_every": 20, "valid_rows": 4}
    job = submit(project, "train", "lora", {**settings, "samples": 0}).id

    def gone(pids: list[int]) -> bool:
        return not any(Path(f"/proc/{pid}").exists() for pid in pids)

    pids = _pids(project, job)
    os.kill(pids[1], signal.SIGKILL)
    _until(lambda: jobs.get(project.db, job).state != "running" and gone(pids))
    row = jobs.get(project.db, job)
    assert row.state == "failed" and "the process of device 1 has ended: signal 9" in row.error["message"]

    job = resume(project, job).id
    pids = _pids(project, job, steps=0)
    os.kill(pids[0], signal.SIGKILL)
    _until(lambda: gone(pids))
    assert {row.id: row.state for row in jobs.listing(project.db)}[job] == "needs_recovery"

    resume(project, job)
    pids = _pids(project, job)
    jobs.request_cancel(project.db, job)
    _until(lambda: jobs.get(project.db, job).state != "running" and gone(pids))
    assert jobs.get(project.db, job).state == "cancelled"
    steps = [step for step, _ in events.curve(project.db, job, "loss")]
    saved = sorted((project.runs / jobs.get(project.db, job).folder).glob("checkpoints/step-*"))[-1]
    assert int(saved.name.rpartition("-")[2]) == steps[-1] < 900


def test_every_device_gets_as_many_packs():
    rows = [Example([1] * length, [1] * length) for length in (5, 9, 7, 3, 8)]
    for devices in (1, 2, 3):
        packs = micro_batches(rows, 100, devices)
        assert len(packs) == devices and sorted(len(e.ids) for p in packs for e in p) == [3, 5, 7, 8, 9]
    lone = Several.__new__(Several)
    lone.rank, lone.size = 1, 2
    assert lone.deal([rows[:1], rows[1:2], rows[2:3]]) == [rows[1:2], [BLANK]]


def test_what_several_devices_cannot_do_is_refused(monkeypatch):
    job = SimpleNamespace(plugin="qlora")
    with pytest.raises(ConfigError, match="trains on one device"), together(qlora, qlora.Config(devices=2), job):
        pass
    with pytest.raises(ConfigError, match="compiled"), together(lora, lora.Config(devices=2, compiled=True), job):
        pass
    assert count(0) == 1 and count(3) == 3
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert count(0) == 2
    with pytest.raises(ConfigError, match="this machine has 2 GPUs"):
        count(3)


def test_out_of_memory_on_any_device_counts_as_that(tmp_path, monkeypatch):
    def ended(rank: int, about: dict, code: int = 1) -> _Other:
        other = _Other.__new__(_Other)
        other.rank, other.folder = rank, tmp_path / str(rank)
        other.folder.mkdir()
        other.process = SimpleNamespace(poll=lambda: code)
        (other.folder / "error.json").write_text(json.dumps(about), encoding="utf-8")
        return other

    lost = ended(1, {"text": "RuntimeError: Connection closed by peer", "memory": False})
    full = ended(2, {"text": "OutOfMemoryError: CUDA", "memory": True})
    error = _Watch([lost, full], SimpleNamespace()).explained(RuntimeError("Connection closed by peer"))
    assert recovery.is_out_of_memory(error)
    error = _Watch([lost], SimpleNamespace()).explained(RuntimeError("Connection closed by peer"))
    assert isinstance(error, JobError) and not recovery.is_out_of_memory(error)
    own = MemoryError()
    assert _Watch([lost], SimpleNamespace()).explained(own) is own
    watches = [_Watch([ended(3, {}, -signal.SIGKILL)], SimpleNamespace()), _Watch([lost], SimpleNamespace())]
    kills = ranks.out_of_memory_kills() + 1
    monkeypatch.setattr(ranks, "out_of_memory_kills", lambda: kills)
    assert [isinstance(watch.error(), MemoryError) for watch in watches] == [True, False]


def test_each_device_holds_its_share():
    memory = Memory(weights=80, gradients=80, optimizer=160, activations=10, logits=1, working=1, runtime=0)
    assert divided(memory, 1, False) is divided(memory, 1, True) is memory
    shared = divided(memory, 4, False)
    assert shared.total == 80 + 80 + 12  # the checks before step 1 see the network whole
    frozen = Memory(weights=80, gradients=8, optimizer=16, activations=100, logits=1, working=1, runtime=0)
    assert divided(frozen, 4, True).total == (80 + 20) + 2 + 4 + 102  # a step: the network, and a share of everything
    assert divided(memory, 4, True).total == (80 + 20) + 40 + (80 + 160)  # a checkpoint: the first has it all
    assert divided(Memory(10, 10, 900, 1, 1, 1, 0), 4, False).optimizer == 225
    assert divided(Memory(10, 10, 900, 1, 1, 1, 0), 4, False, together=40).working == 41


def test_the_part_put_together_for_a_moment_is_the_largest(tiny_model):
    network = load_model(str(tiny_model), dtype="float32").model.requires_grad_(True)
    layer = sum(p.numel() for p in network.get_decoder().layers[0].parameters())
    rest = sum(p.numel() for p in network.parameters()) - len(network.get_decoder().layers) * layer
    assert put_together(network) == 2 * 2 * 4 * max(layer, rest)
    network.requires_grad_(False)
    assert put_together(network) == 2 * 4 * max(layer, rest)
