"""Training in fp16 with a scaled loss, and on the device that was chosen, whatever else there is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from endonym.errors import ConfigError
from endonym.models.load import device, load_model, number_format, on_device, training_format
from endonym.train import forecast, run
from endonym.train.held import peak_bytes
from endonym.train.losses import next_token
from endonym.train.network import ready
from endonym.train.recipes import lora
from endonym.train.settings import SCALE, FitConfig
from endonym.train.sharded import count
from endonym.train.step import WIDEN, adamw, take
from tests.test_train import _examples

GPU = torch.device("cuda")


def stepped(tiny_model, dtype: str, scale: float, step: int = 0, loss=next_token):
    """One step of new adapters on the same rows; the gradient is what AdamW would see of it."""
    torch.manual_seed(3)
    loaded = load_model(tiny_model, dtype=dtype)
    loaded = ready(loaded, lora.network(lora.Config(rank=2))(loaded))
    weights = {name: p for name, p in loaded.model.named_parameters() if p.requires_grad}
    with torch.no_grad():  # as they begin, half of the gradients are nothing
        for weight in weights.values():
            weight.normal_(std=0.05)
    cfg = FitConfig(batch_tokens=64, clip=0.0)
    optimizer = adamw(weights, cfg)
    seen: dict[str, torch.Tensor] = {}
    optimizer.register_step_pre_hook(
        lambda *_: seen.update((name, p.grad.float().clone()) for name, p in weights.items())
    )
    rows = _examples(6, loaded.model.config.vocab_size)
    taken = take(loaded.model, rows, loss, optimizer, weights, step, (), cfg, scale=scale)
    return taken, torch.cat([g.flatten() for g in seen.values()]) if seen else None


@pytest.mark.parametrize("scale", [SCALE, 2.0**40])
def test_fp16_learns_what_fp32_does_and_halves_a_scale_that_is_too_large(tiny_model, scale):
    """Without the scale, gradients below 6e-8 would be nothing; with one that is too large they are no number, and are computed again."""
    usual, wide = stepped(tiny_model, "float32", scale)
    taken, narrow = stepped(tiny_model, "float16", scale)
    assert usual.fine and usual.scale == scale  # untouched
    assert taken.fine and taken.loss == pytest.approx(usual.loss, rel=2e-3)
    assert torch.nn.functional.cosine_similarity(wide, narrow, dim=0) > 0.999
    assert float(narrow.norm()) == pytest.approx(float(wide.norm()), rel=2e-2)
    assert (1 < taken.scale < scale) if scale > SCALE else taken.scale == SCALE


def test_a_scale_that_was_halved_is_tried_larger_again(tiny_model):
    assert stepped(tiny_model, "float16", 256.0)[0].scale == 256
    assert stepped(tiny_model, "float16", 256.0, step=WIDEN - 1)[0].scale == 512


def test_a_loss_that_is_no_number_is_not_computed_again_with_half_the_scale(tiny_model):
    asked = []

    def broken(model, batch):
        asked.append(batch)
        return next_token(model, batch) * float("nan")

    taken, gradient = stepped(tiny_model, "float16", SCALE, loss=broken)
    assert not taken.fine and gradient is None and len(asked) <= 6


@pytest.mark.parametrize(
    ("name", "where", "able", "wanted"),
    [
        ("auto", "cuda", (7, 5), "float16"),
        ("auto", "cuda", (8, 0), "auto"),
        ("bfloat16", "cuda", (7, 5), "bfloat16"),
        ("auto", "cpu", (7, 5), "auto"),
    ],
)
def test_a_gpu_without_bf16_trains_in_fp16(monkeypatch, name, where, able, wanted):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: able)
    assert training_format(name, torch.device(where)) == wanted
    assert number_format("float16", GPU) == torch.float16


def test_the_cpu_is_used_where_it_was_asked_for_though_there_is_a_gpu(tiny_model, monkeypatch):
    """This PyTorch has no GPU: whatever asked one for anything would raise."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device().type == "cuda"
    with run._computing(lora.Config(device="cpu")) as cfg:
        assert cfg.dtype == "auto" and device().type == "cpu"
        assert load_model(tiny_model, dtype="float32").device.type == "cpu"
        assert forecast.available_bytes() > 10**6 and peak_bytes() > 10**6 and count(0) == 1
    assert device().type == "cuda"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 0))
    with run._computing(lora.Config()) as cfg:
        assert cfg.dtype == "float16"


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="no device 'cuda'"), on_device("cuda"):
        pass


def test_training_on_the_cpu_takes_no_gpu_from_others(tiny_model, monkeypatch):
    from endonym.models import needs
    from endonym.store.tokens import Needs

    monkeypatch.setattr(needs, "machine", lambda: Needs(10**11, 0, 1))
    project = SimpleNamespace(base=str(tiny_model))
    for where, gpus in (("auto", 1), ("cpu", 0)):
        resolved = SimpleNamespace(plugins={"lora": (lora, lora.Config(device=where))})
        monkeypatch.setenv("ENDONYM_MEMORY_GB", "100")
        assert run.needs(resolved, {}, project).gpus == gpus
