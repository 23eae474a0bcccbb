"""Load a base model, with an adapter or without, in the number format this machine computes fastest."""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from endonym.errors import ConfigError, MissingError, ParityError, UsageError
from endonym.models import packed
from endonym.models.adapters import speed_up
from endonym.models.bases import base_of
from endonym.models.nets import banked
from endonym.models.render import Renderer
from endonym.models.weights import get
from endonym.store.files import hash_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DEVICE = "ENDONYM_DEVICE"
"""Names the device of this process and those it starts."""
FAMILIES = "Choose a base model of the Llama, Qwen, Mistral or Gemma 3 family."
"""What to do about a model that cannot be trained here."""

OURS, HEADS = "endonym_", "endonym_heads"
"""How the type of a network of our own begins, and that of one with a head."""


@dataclass(frozen=True)
class Loaded:
    """A model ready to use, with the tokenizer and renderer that belong to it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    renderer: Renderer
    base: Path
    """Folder of the base weights."""
    device: torch.device


def load_model(base: str | Path, adapter: Path | None = None, dtype: str = "auto", bits: int | None = None) -> Loaded:
    """Load `base` (catalog alias or folder), and on it the peft adapter in `adapter` when given.

    In fp32 the adapter is merged into the weights. In bf16 it stays beside them, because rounding the sum would lose part of it.
    `dtype` is `auto` (bf16 where a matrix product is faster in it), `float32`, `bfloat16` or `float16`. With `bits`, the weights of linear
    layers are kept packed in 4 or 8 of them; under an adapter that was trained so, they are rounded as they were then. Raises
    MissingError when the weights are not on this machine, or packing is not possible on it, and ConfigError for a model whose
    logits are more than a product.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    folder = get(str(base))
    banked.make_known(folder)
    chosen_device = device()
    chosen = number_format(dtype, chosen_device)
    rounding = packed.rounding_of(adapter) if adapter is not None else None
    packing = rounding.bits if rounding is not None else bits
    packed_from = chosen if rounding is None else number_format(rounding.dtype, chosen_device)
    if packing is not None:
        packed.refuse_if_impossible(packing, packed_from, chosen_device)
    know(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with _exchangeable():
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=packed_from, use_safetensors=True, attn_implementation="sdpa"
        )
    if packing is not None:
        packed.pack(model, packing, chosen_device)
    stays = chosen == packed_from != torch.float32 and not packed.fits_whole(model, chosen_device)
    if rounding is not None and not stays:
        packed.make_whole(model, chosen)
    if adapter is not None:
        packed.import_peft()
        from peft import PeftModel

        if not (adapter / "adapter_config.json").is_file():
            raise MissingError(f"{adapter} holds no adapter", "Train one first: endonym train lora")
        model = PeftModel.from_pretrained(model, adapter)
        if chosen == torch.float32:
            model = model.merge_and_unload()
            if hasattr(model, "bank"):
                banked.put_on(model, hash_folder(adapter))
        else:
            speed_up(model)
    model.to(chosen_device)
    model.eval()
    _must_be_plain(model)
    return Loaded(model, tokenizer, Renderer(tokenizer), folder, chosen_device)


def know(folder: Path) -> None:
    """Make a network of `models/nets` known to transformers where `folder` holds one: its type is `endonym_` and the module's name.

    Raises UsageError for one with a head, which writes nothing.
    """
    kind = str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type", ""))
    if kind == HEADS:
        raise UsageError(
            "this model has a head: it judges texts, and writes none",
            'Ask it: endonym predict "...", or endonym serve heads. Its foundation is the run that it was trained on.',
        )
    if kind.startswith(OURS) and (Path(__file__).parent / "nets" / f"{kind.removeprefix(OURS)}.py").is_file():
        importlib.import_module(f"endonym.models.nets.{kind.removeprefix(OURS)}")


@contextmanager
def _exchangeable() -> Iterator[None]:
    """Say in our words what transformers says of a model whose attention is its own alone (Gemma 2 bounds the weights)."""
    try:
        yield
    except ValueError as error:
        if "scaled_dot_product_attention" not in str(error):
            raise
        raise ConfigError(
            f"the attention of {str(error).split()[0]} cannot be exchanged, so its rows cannot be packed", FAMILIES
        ) from error


@torch.no_grad()
def _must_be_plain(model: Any) -> None:
    """Hold the logits of two tokens against output layer times hidden states, which is what losses and bits are computed of.

    Granite and Cohere scale their logits and Gemma 2 bounds them: trained without that, they would learn another model.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    ids = torch.zeros((1, 2), dtype=torch.long, device=model.device)
    own = model(input_ids=ids, use_cache=False).logits.float()
    product = model.get_output_embeddings()(
        inner.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
    ).float()
    if (own - product).abs().max() > 0.02 * own.abs().max():
        raise ConfigError(
            f"{type(inner).__name__} does something to its logits that Endonym knows nothing of",
            FAMILIES,
        )


def load_tokenizer(base: str | Path) -> Loaded:
    """The tokenizer and renderer of `base` with no model: what a model that is built anew begins with."""
    from transformers import AutoTokenizer

    folder = get(str(base))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    nothing: Any = None
    return Loaded(nothing, tokenizer, Renderer(tokenizer), folder, device())


def on_bytes(folder: Path) -> Loaded:
    """Bytes as tokens with no model, for one that is built anew; its weights will lie in `folder`."""
    from endonym.models.byte_tokenizer import byte_tokenizer

    tokenizer = byte_tokenizer()
    nothing: Any = None
    return Loaded(nothing, tokenizer, Renderer(tokenizer), folder, device())


def lay_out(base: str | Path, dtype: str = "auto") -> Loaded:
    """`base` as a network without any numbers, on the meta device: its shapes, for what it will cost."""
    from transformers import AutoConfig, AutoModelForCausalLM

    loaded = load_tokenizer(base)
    banked.make_known(loaded.base)
    chosen = number_format(dtype, loaded.device)
    with torch.device("meta"), _exchangeable():
        model = AutoModelForCausalLM.from_config(
            AutoConfig.from_pretrained(loaded.base), dtype=chosen, attn_implementation="sdpa"
        )
    return replace(loaded, model=model, device=torch.device("meta"))


def load_artifact(folder: Path, dtype: str = "auto") -> Loaded:
    """Load what a training job made. Raises ParityError when its prompts were rendered differently from now."""
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    adapter = folder / "adapter"
    loaded = load_model(weights_of(folder), adapter if adapter.is_dir() else None, dtype)
    if loaded.renderer.hash != about["renderer"]:
        raise ParityError(
            "the model was trained with another tokenizer or chat template than the one found now",
            "Put the base model back as it was, or train again.",
        )
    return loaded


def weights_of(folder: Path) -> str | Path:
    """Whose weights a model in `folder` has: a training job's base under its adapter, its own, or those that lie there."""
    if not (folder / "model.json").is_file():
        return folder
    if not (folder / "adapter").is_dir():
        return folder / "weights"
    return base_of(folder)


def device() -> torch.device:
    """The device that was chosen (`on_device`), else the fastest there is: CUDA, Apple MPS, else the CPU."""
    if chosen := os.environ.get(DEVICE):
        return torch.device(chosen)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


@contextmanager
def on_device(name: str) -> Iterator[None]:
    """Inside the block, and in processes that are started there, compute on `cpu`, `cuda` or `mps`; `auto` changes nothing.

    Raises ConfigError for a device that this machine does not have.
    """
    there = {"auto": True, "cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[name]:
        raise ConfigError(f"this machine has no device '{name}' that PyTorch can use", "Use --device auto.")
    before = os.environ.get(DEVICE)
    if name != "auto":
        os.environ[DEVICE] = name
    try:
        yield
    finally:
        os.environ.pop(DEVICE, None)
        if before is not None:
            os.environ[DEVICE] = before


def training_format(name: str, where: torch.device) -> str:
    """The format to train in: as named; for `auto`, float16 on a GPU that does not compute in bf16 itself, else still `auto`."""
    if name != "auto" or where.type != "cuda" or torch.version.hip or torch.cuda.get_device_capability()[0] >= 8:
        return name
    return "float16"


def number_format(name: str, where: torch.device) -> torch.dtype:
    """Resolve `auto`: bf16 on a GPU, on a CPU whichever multiplies faster."""
    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]
    where = device() if where.type == "meta" else where
    if where.type == "cpu":
        return torch.bfloat16 if bf16_is_faster() else torch.float32
    return torch.bfloat16


@lru_cache
def bf16_is_faster() -> bool:
    """Measure one layer-sized matrix product both ways (about 30 ms); processor flags alone do not tell the speed."""

    def seconds(dtype: torch.dtype) -> float:
        a, b = torch.ones(256, 576, dtype=dtype), torch.ones(576, 1536, dtype=dtype)
        a @ b
        best = float("inf")
        for _ in range(5):
            start = time.perf_counter()
            a @ b
            best = min(best, time.perf_counter() - start)
        return best

    return seconds(torch.bfloat16) < 0.8 * seconds(torch.float32)
