"""How a model stands in training: packed attention on, arithmetic of 16 bits where it pays, adapters without detours."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch

from endonym.errors import ConfigError
from endonym.models.adapters import speed_up
from endonym.models.generate import decoder, layers_name
from endonym.models.load import FAMILIES, Loaded, number_format
from endonym.train.attention import ATTENTION, register_attention
from endonym.train.settings import ByteConfig, FitConfig


def ready(loaded: Loaded, model: Any) -> Loaded:
    """Return `loaded` with `model` in it, set up for packed rows; raises ConfigError for a model that cannot be packed."""
    register_attention()
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not getattr(inner, "_supports_attention_backend", True):
        raise ConfigError(
            f"the attention of {type(inner).__name__} cannot be exchanged, so its rows cannot be packed",
            FAMILIES,
        )
    return replace(loaded, model=model)


def trainable(model: Any, cfg: FitConfig, loaded: Loaded) -> Any:
    """`model` with all its weights learning, in the arithmetic of the settings."""
    model.requires_grad_(True)
    speed_up(model)
    model.compute_dtype = number_format(cfg.dtype, loaded.device)
    if isinstance(cfg, ByteConfig):
        model.rates = dict.fromkeys(model.tables(), cfg.ngram_rate)
    return model


def first_to_learn(model: Any, asked: int) -> int:
    """The first layer that may learn where `asked` is wished for: none below which a router reads, or it would read other things."""
    return max(asked, model.bank.shape.router_layer) if hasattr(model, "bank") else asked


def freeze_below(model: Any, layer: int) -> None:
    """Freeze the embeddings and the decoder layers before `layer`; 0 freezes nothing, but under a router the embeddings.

    Raises ConfigError past the last layer.
    """
    layer = first_to_learn(model, layer)
    inner = decoder(model)
    layers = getattr(inner, layers_name(inner))
    if layer > len(layers) - 1:
        raise ConfigError(
            f"first_layer {layer} leaves nothing to train: the model has layers 0 to {len(layers) - 1}",
            f"Use a --first-layer of at most {len(layers) - 1}.",
        )
    if layer or hasattr(model, "bank"):
        # Of tokens, and in GPT-2 of positions.
        tables = [module for module in inner.modules() if isinstance(module, torch.nn.Embedding)]
        for frozen in [*tables, *layers[:layer]]:
            frozen.requires_grad_(False)


def drop_attention(model: Any, share: float) -> None:
    """Drop `share` of the attention weights in training; the settings that are saved with the model stay as they are.

    Raises ConfigError for a model whose attention knows no dropout.
    """
    layers = [m for m in decoder(model).modules() if isinstance(getattr(m, "attention_dropout", None), int | float)]
    if share and not layers:
        raise ConfigError(f"the attention of {type(model).__name__} has no dropout", "Use --dropout 0.")
    for layer in layers if share else ():
        layer.attention_dropout = share


@contextmanager
def attention(model: Any, name: str) -> Iterator[None]:
    """Use another attention inside the block: `ATTENTION` for packs, `sdpa` for generating."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    before = inner.config._attn_implementation
    if before == name:
        yield
        return
    inner.set_attn_implementation(name)
    try:
        yield
    finally:
        inner.set_attn_implementation(before)


def arithmetic(model: Any) -> torch.dtype:
    """Number format of a model's matrix products: that of its weights, or the one a recipe wrote into `compute_dtype`."""
    found: torch.dtype = getattr(model, "compute_dtype", None) or next(model.parameters()).dtype
    return found


def recompute(model: Any) -> None:
    """Let every layer forget its activations and compute them again on the way back."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    inner.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def compile_blocks(model: Any, backend: str = "inductor") -> None:
    """Compile what stands between a layer's attentions; raises ConfigError where a CPU's compiler is missing."""
    on_cpu = next(model.parameters()).device.type == "cpu"
    if backend == "inductor" and on_cpu and not any(map(shutil.which, ("g++", "clang++", "cl"))):
        raise ConfigError(
            "--compiled needs a C++ compiler on a CPU, and there is none", "Leave it out, or install g++."
        )
    inner = decoder(model)
    for layer in getattr(inner, layers_name(inner)):
        layer.mlp.compile(dynamic=True, backend=backend)


@contextmanager
def standing(model: Any) -> Iterator[None]:
    """Packed attention, for the way forward and back: layers that are computed again must be computed alike."""
    with ExitStack() as stack:
        stack.enter_context(attention(model, ATTENTION))
        if arithmetic(model) != torch.float32 and hasattr(model, "peft_config"):
            from peft.helpers import disable_input_dtype_casting

            # Without this, peft widens every input to fp32 only for autocast to narrow it again.
            stack.enter_context(disable_input_dtype_casting(model))
        yield


@contextmanager
def computing(model: Any) -> Iterator[None]:
    """Packed attention and, over weights of 16 bits, arithmetic of 16 bits for adapters that are kept in fp32."""
    with standing(model), ExitStack() as stack:
        if (kind := arithmetic(model)) != torch.float32:
            stack.enter_context(torch.autocast(next(model.parameters()).device.type, dtype=kind))
        yield
