"""What frozen layers compute is computed once, and training on it is training."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest
import torch

from endonym.models.load import load_model
from endonym.models.render import IGNORE, Example
from endonym.train import features
from endonym.train.batches import pack
from endonym.train.losses import next_token
from endonym.train.network import drop_attention, freeze_below, ready
from endonym.train.recipes import lora
from endonym.train.settings import FitConfig

CPU = torch.device("cpu")


def rows_of(number: int, vocabulary: int) -> list[Example]:
    """Rows of which half begin alike."""
    dice = random.Random(3)
    common = [dice.randrange(vocabulary) for _ in range(12)]
    rows = []
    for n in range(number):
        ids = (common if n % 2 else []) + [dice.randrange(vocabulary) for _ in range(dice.randint(6, 30))]
        rows.append(Example(ids, [IGNORE] * (len(ids) - 4) + ids[-4:]))
    return rows


@pytest.fixture
def job(tmp_path):
    said: list[str] = []
    return SimpleNamespace(folder=tmp_path, log=said.append, said=said)


@pytest.fixture
def network(tiny_model):
    loaded = load_model(tiny_model, dtype="float32")
    cfg = lora.Config(first_layer=1)
    model = lora.network(cfg)(loaded)
    ready(loaded, model)
    return model


def loss_and_gradient(model, rows) -> tuple[float, torch.Tensor]:
    model.zero_grad()
    value = next_token(model, pack(rows, CPU))
    value.backward()
    return float(value.detach()), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def test_loss_and_gradient_are_those_of_the_whole_network(network, job):
    rows = rows_of(12, network.config.vocab_size)
    before = loss_and_gradient(network, rows[:7])
    strangers = rows_of(3, network.config.vocab_size)
    apart = loss_and_gradient(network, strangers)
    assert features.frozen_depth(network) == 1
    features.install(network, rows, FitConfig(steps=20, batch_size=4), job)
    assert network.features.rows.keys() == {id(row) for row in rows}
    after = loss_and_gradient(network, rows[:7])
    assert after[0] == pytest.approx(before[0], rel=1e-6)
    assert torch.allclose(after[1], before[1], rtol=1e-4, atol=1e-6)
    # Rows it has never seen are computed from the beginning.
    again = loss_and_gradient(network, strangers)
    assert again[0] == apart[0] and torch.equal(again[1], apart[1])


def test_the_frozen_layers_are_not_computed_again(network, job):
    rows = rows_of(12, network.config.vocab_size)
    features.install(network, rows, FitConfig(steps=20, batch_size=4), job)
    first = features.decoder(network).layers[0]
    first.mlp.forward = None
    loss_and_gradient(network, rows[:5])
    assert "1 frozen layers" in job.said[0]


def test_after_an_interruption_the_file_is_used_as_it_is(network, job, tiny_model):
    rows = rows_of(12, network.config.vocab_size)
    cfg = FitConfig(steps=20, batch_size=4)
    features.install(network, rows, cfg, job)
    before = loss_and_gradient(network, rows[:5])
    stamp = (job.folder / "checkpoints" / "features.bin").stat().st_mtime_ns
    loaded = load_model(tiny_model, dtype="float32")
    again = lora.network(lora.Config(first_layer=1))(loaded)
    again.load_state_dict(network.state_dict())
    ready(loaded, again)
    features.install(again, rows, cfg, job)
    after = loss_and_gradient(again, rows[:5])
    assert (job.folder / "checkpoints" / "features.bin").stat().st_mtime_ns == stamp
    assert after[0] == before[0] and torch.equal(after[1], before[1])


def test_room_on_the_disk_is_taken_before_anything_is_computed(network, job, monkeypatch):
    """A mapped file that finds the disk full ends the process with a signal that no error handling sees."""
    rows = rows_of(12, network.config.vocab_size)
    monkeypatch.setattr(features, "micro_batches", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        features.install(network, rows, FitConfig(steps=20, batch_size=4), job)
    taken = (job.folder / "checkpoints" / "features.bin").stat().st_blocks * 512
    assert taken >= 4 * network.config.hidden_size * sum(len(row.ids) for row in rows)


@pytest.mark.parametrize("room", [True, False])
def test_a_run_that_goes_on_computes_as_it_did_whatever_the_disk_holds_by_then(network, job, monkeypatch, room):
    rows = rows_of(12, network.config.vocab_size)
    for free in (10**9 * room, 10**9 * (not room)):
        monkeypatch.setattr(features.shutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        vars(network).pop("features", None)
        features.install(network, rows, FitConfig(steps=20, batch_size=4), job)
        assert hasattr(network, "features") == room


def test_nothing_is_kept_where_it_would_be_wrong_or_does_not_pay(network, tiny_model, job):
    rows = rows_of(12, network.config.vocab_size)
    features.install(network, rows, FitConfig(steps=2, batch_size=4), job)
    assert not hasattr(network, "features")
    whole = load_model(tiny_model, dtype="float32").model
    assert features.frozen_depth(whole.requires_grad_(True)) == 0
    freeze_below(whole, 1)
    assert features.frozen_depth(whole) == 1
    drop_attention(whole, 0.1)
    assert features.frozen_depth(whole) == 0
