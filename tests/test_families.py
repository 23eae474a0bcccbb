"""What stands in a network for training computes what was there before; bases of other families keep what is their own, or are refused."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from endonym.errors import ConfigError
from endonym.models.load import lay_out, load_model, load_tokenizer
from endonym.models.nets.together import Piece
from endonym.models.render import IGNORE, Example
from endonym.models.vocabulary import only_rows
from endonym.train import attention as packed
from endonym.train import losses
from endonym.train.batches import pack
from endonym.train.losses import next_token
from endonym.train.network import attention, compile_blocks, drop_attention, freeze_below, ready
from endonym.train.recipes import lora

FAMILY = {
    "vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "initializer_range": 0.3,
}  # fmt: skip


def rows_of(longest: int, shared: int = 0) -> list[Example]:
    """Five rows of up to `longest` tokens that teach their last four, `shared` tokens of the beginning alike."""
    dice = torch.Generator().manual_seed(7)
    start = torch.randint(512, (shared,), generator=dice).tolist()
    made = []
    for length in (9, longest // 3, longest // 2, longest - 1, longest):
        ids = start + torch.randint(512, (length,), generator=dice).tolist()
        made.append(Example(ids, [IGNORE] * (len(ids) - 4) + ids[-4:]))
    return made


def own_loss(model: torch.nn.Module, row: Example) -> float:
    """Loss of one row alone through the model's own attention and logits."""
    with attention(model, "sdpa"), torch.no_grad():
        logits = model(input_ids=torch.tensor([row.ids])).logits[0, :-1]
    labels = torch.tensor(row.labels[1:])
    return float(torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum"))


@pytest.mark.parametrize("family", ["mistral", "gemma3_text"])
@pytest.mark.parametrize("longest", [40, 400])
def test_a_window_of_attention_is_the_model_s_own(tiny_model, family, longest):
    """Tokens further back than the window must not be seen, with beginnings that rows share and without."""
    config = AutoConfig.for_model(family, **FAMILY, sliding_window=16, attn_implementation="sdpa")
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config).eval()
    found = ready(replace(load_tokenizer(tiny_model), model=model), model).model
    for rows in (rows_of(longest), rows_of(longest, shared=12)):
        with torch.no_grad():
            together = float(next_token(found, pack(rows, torch.device("cpu"))))
        assert together == pytest.approx(sum(own_loss(found, row) for row in rows), rel=1e-5)


def test_a_model_that_bounds_its_attention_is_refused():
    some = torch.zeros(1, 2, 4, 8)
    with pytest.raises(ConfigError, match="packed rows cannot"):
        packed._packed_attention(torch.nn.Module(), some, some, some, None, pieces=[Piece(0, 4)], softcap=50.0)


def test_a_model_that_scales_its_logits_is_refused(tiny_model, tmp_path):
    """Losses and bits are computed of output layer times hidden states; of Granite that is another model."""
    folder = shutil.copytree(tiny_model, tmp_path / "granite")
    config = AutoConfig.for_model("granite", **FAMILY, logits_scaling=8.0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    with pytest.raises(ConfigError, match="GraniteForCausalLM does something to its logits"):
        load_model(folder, dtype="float32")


def test_a_model_whose_attention_cannot_be_exchanged_is_refused(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "gemma2")
    config = AutoConfig.for_model("gemma2", **FAMILY)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    for load in (load_model, lay_out):
        with pytest.raises(ConfigError, match="Gemma2ForCausalLM cannot be exchanged"):
            load(folder, dtype="float32")


@pytest.fixture
def gpt2(tiny_model):
    config = AutoConfig.for_model("gpt2", vocab_size=512, n_embd=32, n_layer=3, n_head=2, n_positions=64)
    return replace(load_tokenizer(tiny_model), model=AutoModelForCausalLM.from_config(config))


def test_upper_layers_of_a_gpt2_learn_alone(gpt2):
    freeze_below(gpt2.model, 2)
    learning = {name for name, p in gpt2.model.named_parameters() if p.requires_grad}
    assert learning and all(".h.2." in name or ".ln_f." in name for name in learning)


def test_layers_of_a_gpt2_get_adapters_by_their_range(gpt2):
    network = lora.network(lora.Config(first_layer=1, last_layer=1))(gpt2)
    adapted = [name for name, p in network.named_parameters() if p.requires_grad]
    assert adapted and all(".h.1." in name for name in adapted) and any("c_attn" in name for name in adapted)


def test_a_layer_that_is_not_there_is_named(gpt2):
    """peft passes over a name that it does not find, as long as it finds another."""
    with pytest.raises(ConfigError, match="no layers named 'c_atn'") as error:
        lora.network(lora.Config(targets=["c_proj", "c_atn"]))(gpt2)
    assert "c_attn" in error.value.hint and "--targets" in error.value.hint
    lora.network(lora.Config(targets=["c_proj", "attn.c_attn"]))(gpt2)


@pytest.fixture
def loaded(tiny_model):
    found = load_model(tiny_model, dtype="float32")
    return ready(found, found.model)


def test_compiled_blocks_compute_what_they_did(loaded):
    batch = pack(rows_of(40), torch.device("cpu"))
    before = float(next_token(loaded.model, batch))
    compile_blocks(loaded.model, backend="eager")
    assert float(next_token(loaded.model, batch)) == pytest.approx(before, rel=1e-6)


def test_attention_dropout_acts_in_training_alone(loaded):
    rows = pack(rows_of(40), torch.device("cpu"))
    before = float(next_token(loaded.model, rows))
    saved = loaded.model.config.attention_dropout
    drop_attention(loaded.model, 0.3)
    assert float(next_token(loaded.model, rows)) == before
    loaded.model.train()
    assert float(next_token(loaded.model, rows)) != float(next_token(loaded.model, rows))
    assert loaded.model.config.attention_dropout == saved


def test_an_output_layer_of_its_own_kind_never_has_all_logits_at_once(loaded, monkeypatch):
    """While new rows learn alone the head is none that `_LinearLoss` knows."""
    only_rows(loaded.model, [5, 17])
    head, sizes = loaded.model.get_output_embeddings(), []
    head.register_forward_hook(lambda module, given, made: sizes.append(len(made)))
    found = []
    for bytes_at_once in (losses.CHUNK_BYTES, 0):
        monkeypatch.setattr(losses, "CHUNK_BYTES", bytes_at_once)
        loaded.model.zero_grad()
        sizes.clear()
        value = next_token(loaded.model, pack([*rows_of(40), *rows_of(50)], torch.device("cpu")))
        value.backward()
        found.append((value.detach(), head.rows.weight.grad.clone()))
    assert max(sizes) == 16 < sum(sizes) // 2
    assert all(torch.allclose(whole, cut, rtol=1e-5, atol=1e-5) for whole, cut in zip(*found, strict=True))
