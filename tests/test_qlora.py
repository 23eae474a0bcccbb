"""Training over a packed base: what is evaluated, merged and exported is the network that was trained."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from endonym import plugins
from endonym.data.dataset import Dataset
from endonym.errors import ConfigError, EndonymError, MissingError
from endonym.export.formats import adapter as adapter_format
from endonym.export.source import Source
from endonym.jobs.submit import _maker as maker
from endonym.jobs.submit import submit, wait_for
from endonym.models import packed
from endonym.models.compute import flops_per_token
from endonym.models.load import lay_out, load_artifact, load_model
from endonym.models.packed import FILE, Packed, Rounding, make_whole, num_weights, pack, rounding_of
from endonym.models.render import Example
from endonym.project import Project
from endonym.store import events, jobs
from endonym.store.files import hash_folder
from endonym.train.batches import pack as packs
from endonym.train.losses import next_token
from endonym.train.network import ready, standing
from endonym.train.recipes import lora, qlora

HERE = importlib.util.find_spec("bitsandbytes") is not None
needs_bitsandbytes = pytest.mark.skipif(not HERE, reason="bitsandbytes is not installed: pip install 'endonym[qlora]'")
FEW = {"steps": 8, "batch_size": 8, "evaluate_every": 4, "save_every": 4, "valid_rows": 8, "samples": 1, "rank": 4}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def project(composed, copied, tmp_path_factory) -> Project:
    """A project with composed chats."""
    return Project(copied(composed, tmp_path_factory.mktemp("qlora") / "project"))


@pytest.fixture(scope="module", params=[4, 8])
def trained(request, project) -> tuple[int, int]:
    """Bits and job of a model trained over a packed base, in both widths."""
    row = submit(project, "train", "qlora", {**FEW, "bits": request.param, "dtype": "float32"}, wait=True)
    return request.param, row.id


def test_without_bitsandbytes_the_error_says_what_to_do(tiny_model, tmp_path, monkeypatch):
    """Said before any weight is loaded, in training and wherever such an adapter is loaded."""
    monkeypatch.setattr(packed.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", lambda *a, **k: pytest.fail("loaded"))
    Rounding(4, "float32").save(tmp_path)
    for load in (lambda: load_model(tiny_model, bits=8), lambda: load_model(tiny_model, tmp_path)):
        with pytest.raises(MissingError, match="bitsandbytes, which is not installed") as caught:
            load()
        assert "endonym[qlora]" in caught.value.hint and "endonym train lora" in caught.value.hint


def test_a_machine_that_cannot_pack_is_told_so(tiny_model, monkeypatch):
    monkeypatch.setattr(packed.importlib.util, "find_spec", lambda name: object())

    def broken(weight: torch.Tensor, bits: int) -> Any:
        raise RuntimeError("no kernel image")

    monkeypatch.setattr(packed, "_pack", broken)
    with pytest.raises(MissingError, match=r"4 bits on this machine \(cpu\): no kernel image"):
        load_model(tiny_model, bits=4)
    monkeypatch.setattr(packed, "_pack", lambda weight, bits: (weight, weight))
    monkeypatch.setattr(packed, "_unpack", lambda packed, scale, bits, shape, dtype: packed * 0)
    with pytest.raises(MissingError, match="gives weights back wrong"):
        load_model(tiny_model, bits=4)


def test_its_absence_stands_in_no_other_stages_way(monkeypatch):
    """A recipe that cannot be loaded is named for what it is, and passed over where a missing input's maker is looked for."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        plugins.importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else real(name)
    )
    with pytest.raises(MissingError, match="'qlora' needs the Python module 'bitsandbytes'") as caught:
        plugins.load("recipe", "qlora")
    assert "endonym[qlora]" in caught.value.hint
    assert maker("nothing makes this") == "nothing makes this"


def test_settings_and_record(tmp_path):
    assert qlora.Config().bits == 4 and isinstance(qlora.Config(), lora.Config)
    with pytest.raises(ValueError, match="bits"):
        qlora.Config(bits=5)
    assert plugins.requires(Path(qlora.__file__))["bitsandbytes"] == "qlora"
    assert rounding_of(tmp_path) is None
    Rounding(8, "bfloat16").save(tmp_path)
    assert rounding_of(tmp_path) == Rounding(8, "bfloat16")


@needs_bitsandbytes
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_packed_layer_is_the_layer_of_its_whole_weights(bits, dtype, monkeypatch):
    """Forward and back, with a bias, and whatever is packed at once."""
    torch.manual_seed(1)
    plain = torch.nn.Linear(96, 40).to(dtype).requires_grad_(False)
    layer = Packed(plain, bits, CPU)
    monkeypatch.setattr(packed, "CHUNK", 640)
    assert torch.equal(Packed(plain, bits, CPU).weight, layer.weight)
    assert layer.packed.numel() * layer.packed.element_size() == 40 * 96 * bits // 8
    error = (layer.weight - plain.weight).float().abs().max() / plain.weight.float().abs().max()
    assert 0 < error < (0.16 if bits == 4 else 0.01)
    x = torch.randn(7, 96, dtype=dtype)
    first, second = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, whole = layer(first), first.new_zeros(()) + second @ layer.weight.T + plain.bias
    assert y.dtype == dtype and torch.equal(y, whole)
    y.sum().backward()
    whole.sum().backward()
    assert torch.equal(first.grad, second.grad)
    assert not any(p.requires_grad for p in layer.parameters())


@needs_bitsandbytes
@pytest.mark.parametrize("extra", [{}, {"dropout": 0.1}, {"dora": True}], ids=["plain", "dropout", "dora"])
def test_gradients_are_those_over_the_rounded_base(tiny_model, extra):
    """Packed and whole give the same loss and gradients for adapters of every kind; only the packed one keeps few bytes."""
    cfg = qlora.Config(rank=4, dtype="float32", **extra)

    def network(whole: bool) -> Any:
        loaded = load_model(tiny_model, dtype="float32", bits=cfg.bits)
        if whole:
            make_whole(loaded.model, torch.float32)
        torch.manual_seed(5)
        model = (lora if whole else qlora).network(cfg)(loaded)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        ready(loaded, model)
        return model

    rows = packs([Example([5, 9, 20, 41, 7, 3], [-100, -100, 20, 41, 7, 3])], CPU)
    found = []
    for model in (network(whole=False), network(whole=True)):
        torch.manual_seed(6)
        with standing(model):
            value = next_token(model, rows)
            value.backward()
        found.append((float(value.detach()), {n: p.grad for n, p in model.named_parameters() if p.requires_grad}))
    (loss, mine), (other, theirs) = found
    assert loss == other and mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) and mine[name].any() for name in mine)


@needs_bitsandbytes
def test_weights_are_counted_and_laid_out(tiny_model):
    """Counts are those of the whole base; the plan of a run sees the packed bytes without a number being loaded."""
    whole, four = load_model(tiny_model, dtype="float32"), load_model(tiny_model, dtype="float32", bits=4)
    assert sum(num_weights(four.model).values()) == sum(p.numel() for p in whole.model.parameters())
    assert flops_per_token(four.model) == flops_per_token(whole.model)
    head = four.model.get_output_embeddings()
    assert not isinstance(head, Packed) and torch.equal(head.weight, whole.model.get_output_embeddings().weight)

    def held(model: Any) -> int:
        return sum(t.numel() * t.element_size() for t in [*model.parameters(), *model.buffers()])

    laid = lay_out(tiny_model, "float32")
    pack(laid.model, 4, laid.device)
    assert held(laid.model) == held(four.model) < 0.6 * held(whole.model)


@needs_bitsandbytes
def test_what_is_loaded_is_what_was_trained(trained, project, tiny_model):
    """The live packed network with its adapter, the artifact as it is evaluated, and the merged weights give the same logits."""
    from peft import PeftModel

    bits, folder = trained[0], project.output(trained[1])
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert about["recipe"] == "qlora" and about["quantisation"] == {"bits": bits, "dtype": "float32"}
    assert rounding_of(folder / "adapter") == Rounding(bits, "float32")
    live = load_model(tiny_model, dtype="float32", bits=bits)
    model = PeftModel.from_pretrained(live.model, folder / "adapter").eval()
    artifact = load_artifact(folder, "float32")
    assert not any(isinstance(m, Packed) for m in artifact.model.modules())
    plain = load_model(tiny_model, dtype="float32").model
    merged = copy.deepcopy(plain)
    merged.load_state_dict(dict(Source(artifact, folder, "x").merged()))
    chat = next(c for c in Dataset(project.newest("chats"), "train").records("valid") if c.answer)
    ids = torch.tensor([live.renderer.prompt_ids(chat.prompt)])
    with torch.no_grad():
        trained_logits, loaded, shipped = (m(input_ids=ids).logits for m in (model, artifact.model, merged))
        (folder / "adapter" / FILE).rename(folder / "away")
        forgotten = load_artifact(folder, "float32").model(input_ids=ids).logits
        (folder / "away").rename(folder / "adapter" / FILE)
    assert float((loaded - trained_logits).abs().max()) < 1e-5
    assert float((shipped - trained_logits).abs().max()) < 1e-5
    # The test can fail: over the base as it was before rounding, the adapter answers otherwise.
    assert float((forgotten - trained_logits).abs().max()) > 1e-3


@needs_bitsandbytes
def test_the_exported_adapter_carries_its_rounding_and_its_card_tells_others_how(
    trained, project, tiny_model, tmp_path
):
    """Loaded by Endonym, and by the code on its card alone, it gives the network that was trained."""
    bits, folder = trained[0], project.output(trained[1])
    artifact = load_artifact(folder, "float32")
    adapter_format.export(Source(artifact, folder, "x"), adapter_format.Config(), tmp_path)
    assert rounding_of(tmp_path) == Rounding(bits, "float32")
    code = (tmp_path / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("chat = [")[0]
    names: dict[str, Any] = {}
    exec(code.replace(f'"{tiny_model.name}"', repr(str(tiny_model))).replace("FOLDER", str(tmp_path)), names)
    ids = torch.tensor([[3, 40, 50, 60]])
    with torch.no_grad():
        ours = artifact.model(input_ids=ids).logits
        again = load_model(tiny_model, tmp_path, dtype="float32").model(input_ids=ids).logits
    # Where no gradient is wanted, bitsandbytes takes kernels on a CPU that round the activations as well (by 0.04 here).
    theirs = names["model"].train()(input_ids=ids).logits.float()
    assert torch.equal(again, ours)
    assert float((theirs - ours).abs().max()) < 1e-4


@needs_bitsandbytes
def test_bf16_learns_and_a_killed_run_ends_as_an_unbroken_one(project, copied, tmp_path):
    settings = {**FEW, "steps": 24, "samples": 0, "dtype": "bfloat16"}
    other = Project(copied(project.path, tmp_path / "project"))
    whole = submit(project, "train", "qlora", settings, wait=True)
    losses = [value for _, value in events.curve(project.db, whole.id, "valid_loss")]
    assert min(losses) < losses[0]
    row = submit(other, "train", "qlora", settings)
    until = time.monotonic() + 120
    while not events.curve(other.db, row.id, "valid_loss")[2:]:
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(int(jobs.get(other.db, row.id).worker.split("|")[2]), signal.SIGKILL)
    while jobs.get(other.db, row.id).state == "running":
        jobs.notice_dead(other.db)
    row = submit(other, "train", "qlora", settings)
    wait_for(other, row.id)
    texts = [e.data["text"] for e in events.since(other.db, row.id) if e.kind == "log"]
    assert any(text.startswith("going on from the checkpoint") for text in texts)
    mine, theirs = project.output(whole.id), other.output(row.id)
    assert hash_folder(mine / "adapter") == hash_folder(theirs / "adapter")
    about = json.loads((theirs / "model.json").read_text(encoding="utf-8"))
    assert about["dtype"] == "bfloat16" and about["quantisation"] == {"bits": 4, "dtype": "bfloat16"}
    # In bf16 the adapter stays beside the rounded base; widened for export it is the same network.
    loaded, wide = load_artifact(theirs, "bfloat16").model, load_artifact(theirs, "float32").model
    assert next(wide.parameters()).dtype == torch.float32
    base = loaded.get_base_model().model.layers[0].mlp.up_proj.base_layer.weight
    assert base.dtype == torch.bfloat16 and not any(isinstance(m, Packed) for m in loaded.modules())
    ids = torch.tensor([[3, 9, 27, 81]])
    with torch.no_grad():
        gap = (loaded(input_ids=ids).logits.float() - wide(input_ids=ids).logits).abs().max()
    assert float(gap) < 0.1


@needs_bitsandbytes
def test_a_range_of_layers_is_checked_as_in_lora(project):
    with pytest.raises(EndonymError, match="there are no layers 9 to 1") as caught:
        submit(project, "train", "qlora", {**FEW, "first_layer": 9}, wait=True)
    assert not isinstance(caught.value, MissingError)


@needs_bitsandbytes
def test_nothing_is_fetched_when_bitsandbytes_is_imported(tmp_path):
    """On some processors it asks the package `kernels` for code from the network; peft imports it for every adapter where it can."""
    (tmp_path / "kernels.py").write_text("print('asked')\n", encoding="utf-8")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from endonym.models import packed;"
    code += "packed.import_peft(); assert 'bitsandbytes' not in sys.modules;"
    code += "packed.import_bitsandbytes(); assert 'bitsandbytes' in sys.modules; import kernels"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    # Asked for once, by the last line.
    assert (done.returncode, done.stdout, done.stderr) == (0, "asked\n", "")


def test_five_bits_are_no_option(project):
    if not HERE:
        pytest.skip("bitsandbytes is not installed: the plugin is refused before its settings are read")
    with pytest.raises(ConfigError, match="bits"):
        submit(project, "train", "qlora", {"bits": 5})
