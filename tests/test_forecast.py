"""What a run will need is told before anything is loaded, by the code that trains."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from endonym import plugins
from endonym.cli.main import main
from endonym.data.dataset import Dataset
from endonym.errors import JobError
from endonym.jobs.submit import submit
from endonym.models.load import lay_out, load_model
from endonym.models.render import IGNORE, Example
from endonym.project import Project
from endonym.store import events
from endonym.train import batches, forecast, preflight, recovery
from endonym.train.batches import pack
from endonym.train.fit import Rows
from endonym.train.held import Bound, resident_bytes
from endonym.train.losses import next_token
from endonym.train.network import ready, recompute
from endonym.train.recipes import full, lora

CFG = lora.Config(batch_size=8, batch_tokens=256)


@pytest.fixture(scope="module")
def rows() -> list[Example]:
    dice = random.Random(5)
    made = []
    for _ in range(40):
        ids = [dice.randrange(200) for _ in range(dice.randint(10, 60))]
        made.append(Example(ids, [IGNORE] * (len(ids) - 5) + ids[-5:]))
    return made


def laid(tiny_model, recipe=lora, cfg=CFG):
    base = lay_out(tiny_model, "float32")
    with torch.device("meta"):
        network = recipe.network(cfg)(base)
    ready(base, network)
    return network


def real(tiny_model):
    loaded = load_model(tiny_model, dtype="float32")
    network = lora.network(CFG)(loaded)
    ready(loaded, network)
    return network


def whole(rows, cfg=CFG) -> Rows:
    return Rows(rows, [1.0] * len(rows), ["x"] * len(rows), ["x"] * len(rows))


def needed(network, rows, cfg=CFG):
    return forecast.memory_of(network, forecast.largest_packs(whole(rows), cfg), next_token)[0]


def test_what_is_held_between_forward_and_back_is_counted_to_the_byte(tiny_model, rows):
    """The activations foretold are the storages that autograd really keeps for this pack, and nothing is left behind."""
    network = real(tiny_model)
    known = {p.untyped_storage()._cdata for p in [*network.parameters(), *network.buffers()]}
    met = forecast.largest_packs(whole(rows), CFG)
    (pack_of,) = met.packs
    found, _ = forecast.memory_of(network, met, next_token)
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    network.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        value = next_token(network, pack(pack_of, torch.device("cpu")))
    assert found.activations == pytest.approx(sum(kept.values()), rel=0.1)
    assert found.gradients == sum(4 * p.numel() for p in network.parameters() if p.requires_grad)
    assert found.optimizer == 2 * found.gradients
    value.backward()
    assert all(p.grad is None or type(p.grad) is torch.Tensor for p in network.parameters())


def test_a_network_without_numbers_needs_what_a_real_one_needs(tiny_model, rows):
    assert needed(laid(tiny_model), rows) == needed(real(tiny_model), rows)


@pytest.mark.parametrize("limit", [15, 60])
def test_no_pack_of_a_run_is_larger_than_those_foretold(rows, limit, monkeypatch):
    """In random order and in one of its own; of short rows alone and of others."""
    monkeypatch.setattr(batches, "SHORT", limit)
    cfg = lora.Config(batch_size=6, batch_tokens=150, steps=30)
    longest_first = sorted(range(len(rows)), key=lambda i: -len(rows[i].ids))
    largest = forecast.largest_packs(whole(rows), cfg, lambda epoch: longest_first)
    found = largest.packs
    assert len(found) == (1 if limit == 60 else 2) and largest.several
    sizes = {max(map(size, p)) <= limit: sum(map(size, p)) for p in found}
    met = set()
    for rows_of in (lambda epoch: longest_first, partial(batches.order, len(rows), [1.0] * len(rows), cfg.seed)):
        source = batches.steps(rows_of, 6, batches.Cursor())
        for _ in range(30):
            for pack_of in batches.micro_batches([rows[i] for i in next(source)[0]], 150):
                kind, tokens = max(map(size, pack_of)) <= limit, sum(map(size, pack_of))
                assert tokens <= sizes[kind]
                met.add((kind, tokens))
    assert set(sizes.items()) <= met


def size(example: Example) -> int:
    return len(example.ids)


def test_gradients_of_one_pack_are_there_while_the_next_goes_forward(tiny_model, rows):
    """In a step of one pack they come when activations go, which takes less."""
    cfg = full.Config(dtype="float32", batch_size=2, steps=3)
    one = forecast.largest_packs(whole(rows[:2]), cfg)
    assert not one.several
    alone, _ = forecast.memory_of(laid(tiny_model, full, cfg), one, next_token)
    several, _ = forecast.memory_of(laid(tiny_model, full, cfg), replace(one, several=True), next_token)
    assert alone.gradients == several.gradients and alone.total < several.total <= alone.total + alone.gradients * 1.2


def test_smaller_packs_and_recomputing_need_less_and_all_weights_more(tiny_model, rows):
    usual = needed(laid(tiny_model), rows)
    fewer = needed(laid(tiny_model), rows, CFG.model_copy(update={"batch_tokens": 128}))
    again = laid(tiny_model)
    recompute(again)
    twice = needed(again, rows)
    every = needed(laid(tiny_model, full, full.Config(dtype="float32")), rows)
    assert fewer.activations < 0.8 * usual.activations
    assert twice.activations < 0.7 * usual.activations
    assert every.optimizer > 3 * usual.optimizer


def test_the_command_tells_what_training_needs_and_starts_nothing(composed, copied, tmp_path, capsys, monkeypatch):
    project = Project(copied(composed, tmp_path / "plan"))
    words = ["plan", "train", "lora", "--rank", "4", "--steps", "20", "--project", str(project.path)]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["fits"] is True and told["steps"] == 20 and told["seconds"] > 0
    assert told["memory"]["total"] == sum(v for k, v in told["memory"].items() if k != "total")
    assert project.newest("model") is None
    assert main(words) == 0
    assert "at the peak" in capsys.readouterr().out
    monkeypatch.setattr(forecast, "available_bytes", lambda: 1)
    assert main(words) == 3
    assert "does not fit" in capsys.readouterr().out
    asked = told["memory"]["total"]
    monkeypatch.setattr(forecast, "available_bytes", lambda: asked - 1)
    assert main([*words, "--json"]) == 0
    (helps,) = json.loads(capsys.readouterr().out)["lighter"]
    assert helps["change"] == "--batch-tokens 768" and helps["fits"] and helps["memory"] < asked


def test_recomputed_activations_are_the_last_thing_that_is_tried(composed, monkeypatch):
    project = Project(composed)
    data = Dataset(project.newest("chats"), "train")
    cfg = lora.Config(batch_size=16, batch_tokens=512)
    monkeypatch.setattr(forecast, "available_bytes", lambda: 1)
    monkeypatch.setattr(forecast, "product_speed", lambda dtype, where: 1e9)
    asked, lighter = forecast.planned("lora", lora, cfg, data, project, {})
    assert [name for name, _ in lighter] == ["--batch-tokens 256", "--batch-tokens 256 and recomputed activations"]
    kept = [found.memory.activations for found in (asked, *(found for _, found in lighter))]
    assert kept[0] > kept[1] > 1.3 * kept[2]
    assert lighter[1][1].seconds > 1.1 * lighter[0][1].seconds


def test_other_words_behind_plan_are_refused(composed, capsys):
    assert main(["plan", "trian", "--project", str(composed)]) == 2
    assert main(["plan", "train", "grown", "--project", str(composed)]) == 2
    assert "grow" in capsys.readouterr().err


def test_a_run_that_would_not_fit_is_made_lighter_or_not_begun(tiny_model, rows, tmp_path, monkeypatch):
    said: list[str] = []
    job = SimpleNamespace(folder=tmp_path, log=said.append, event=lambda kind, **data: said.append(data["text"]))
    network = real(tiny_model)
    cfg = lora.Config(batch_size=40, batch_tokens=2048)
    asked = needed(network, rows, cfg)
    room = asked.total - asked.weights - asked.runtime - 1
    monkeypatch.setattr(preflight, "available_bytes", lambda: room)
    (pack_of,) = preflight._fits(network, whole(rows), next_token, cfg, job).packs
    assert sum(map(size, pack_of)) <= 1024
    assert "1024 tokens at once" in said[-2]
    monkeypatch.setattr(preflight, "available_bytes", lambda: 1000)
    with pytest.raises(JobError, match="would need about"):
        preflight._fits(network, whole(rows), next_token, cfg, job)


def test_only_what_is_in_memory_already_is_not_asked_for_again(tiny_model, rows, tmp_path, monkeypatch):
    """A process of several on the CPU still needs its share of the weights beside the network that it has."""
    job = SimpleNamespace(folder=tmp_path, log=lambda text: None, event=lambda kind, **data: None)
    network = real(tiny_model)
    held = sum(t.numel() * t.element_size() for t in (*network.parameters(), *network.buffers()))
    share = forecast.Memory(held + 100, 0, 0, 0, 0, 0, 7)
    monkeypatch.setattr(preflight, "memory_of", lambda *given: (share, 1.0))
    monkeypatch.setattr(preflight, "available_bytes", lambda: 100)
    preflight._fits(network, whole(rows), next_token, CFG, job)
    assert recovery.read(tmp_path) == recovery.Lighter()
    monkeypatch.setattr(preflight, "available_bytes", lambda: 99)
    with pytest.raises(JobError, match="would need about"):
        preflight._fits(network, whole(rows), next_token, CFG, job)


def test_what_was_foretold_is_in_the_log_of_the_run(composed, copied, tmp_path):
    project = Project(copied(composed, tmp_path / "log"))
    row = submit(project, "train", "lora", {"steps": 2, "batch_size": 4, "valid_rows": 4, "samples": 0}, wait=True)
    said = [e.data["text"] for e in events.since(project.db, row.id) if e.kind == "log"]
    assert any(text.startswith("estimated peak memory") for text in said)


@pytest.mark.skipif(sys.platform != "linux", reason="memory can be given back only with Linux's C library")
def test_holes_in_memory_are_given_back_beyond_what_was_foretold_and_only_then():
    kept = [torch.ones(16_000) for _ in range(4000)]
    kept = kept[::20]  # 64 kB each: small enough to come from the heap, where the others leave holes between these
    held = resident_bytes()
    Bound(held).look()
    assert resident_bytes() > held - 2**24
    strict = Bound(held // 2)
    strict.look()
    left = resident_bytes()
    assert left < held - 150 * 2**20
    more = [torch.ones(16_000) for _ in range(int(0.04 * left / 64_000))]
    strict.look()
    assert resident_bytes() > left, "what is in use cannot be given back, and is not asked for at every pack"
    del more
    assert all(bool((t == 1).all()) for t in kept)


def test_a_loss_that_is_not_the_models_own_stops_the_run(tiny_model, rows):
    """The other checks compare packs with packs: attention that is wrong everywhere would pass them."""
    network = real(tiny_model).eval()
    fine = preflight._as_alone(network, rows[:8], next_token)
    other = preflight._as_alone(network, rows[:8], lambda model, batch: 1.001 * next_token(model, batch))
    assert fine.passed and not other.passed


def test_continuing_is_foretold_for_the_plain_text_alone(composed, monkeypatch):
    seen: list[set[str]] = []
    rendered = forecast.rows_of

    def watched(chats, renderer, cfg):
        seen.append({chat.task for chat in chats})
        return rendered(chats, renderer, cfg)

    monkeypatch.setattr(forecast, "rows_of", watched)
    module = plugins.load("recipe", "continue")
    project = Project(composed)
    forecast.planned("continue", module, module.Config(), Dataset(project.newest("chats"), "train"), project, {})
    assert seen[0] == {"complete"}


def test_the_checks_hold_no_more_rows_at_once_than_training_does(rows):
    few = preflight._few(rows, 256)
    assert 2 < len(few) <= 8 and sum(len(e.ids) for e in few) <= 256
    assert len(preflight._few(rows, 10_000)) == 8 and len(preflight._few(rows, 8)) == 2
