"""How a model stands in training: packed attention on, bf16 arithmetic where it pays, adapters without detours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch

from endonym.errors import ConfigError
from endonym.models.load import Loaded
from endonym.train.batches import ATTENTION, register_attention


def ready(loaded: Loaded, model: Any) -> Loaded:
    """Return `loaded` with `model` in it, set up for packed rows; raises ConfigError for a model that cannot be packed."""
    register_attention()
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not getattr(inner, "_supports_attention_backend", True):
        raise ConfigError(
            f"the attention of {type(inner).__name__} cannot be exchanged, so its rows cannot be packed",
            "Choose a base model of the Llama, Qwen, Mistral or Gemma family.",
        )
    return replace(loaded, model=model)


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


@contextmanager
def computing(model: Any) -> Iterator[None]:
    """Packed attention and, over bf16 weights, bf16 arithmetic for adapters that are kept in fp32."""
    with ExitStack() as stack:
        stack.enter_context(attention(model, ATTENTION))
        first = next(model.parameters())
        if first.dtype == torch.bfloat16:
            stack.enter_context(torch.autocast(first.device.type, dtype=torch.bfloat16))
            if hasattr(model, "peft_config"):
                from peft.helpers import disable_input_dtype_casting

                # Without this, peft widens every input to fp32 only for autocast to narrow it again.
                stack.enter_context(disable_input_dtype_casting(model))
        yield
