"""What a job that loads a model takes of the machine, told from the model's files alone: rather too much than too little."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from endonym.errors import EndonymError
from endonym.models import weights
from endonym.store.tokens import Needs, machine

RUNTIME_BYTES = 1_000_000_000
"""Python, PyTorch and transformers in main memory, with what they prepare for products."""
BYTES_A_NUMBER = 4


@dataclass(frozen=True)
class Size:
    """How large a network is."""

    num_weights: int
    layers: int
    hidden: int
    vocabulary: int
    context: int | None
    """Longest text it was made for, in tokens; None where its files do not say."""


def size_of(base: str | Path) -> Size | None:
    """The size of a base model that is here; None where it cannot be told."""
    try:
        folder = weights.get(base)
        about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        text = about.get("text_config") or about
        held = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        bytes_each = 4 if str(text.get("torch_dtype") or text.get("dtype")) in ("None", "float32") else 2
        layers, hidden, vocabulary = (int(text[key]) for key in ("num_hidden_layers", "hidden_size", "vocab_size"))
        return Size(held // bytes_each, layers, hidden, vocabulary, text.get("max_position_embeddings"))
    except (EndonymError, OSError, ValueError, KeyError, TypeError):
        return None


def to_answer(base: str | Path, models: int = 1) -> Needs:
    """What it takes to let a model, or several of its size at once, answer."""
    size = size_of(base)
    held = size.num_weights * BYTES_A_NUMBER * models if size else 0
    return Needs(RUNTIME_BYTES + held * 5 // 4, gpus=min(1, machine().gpus))


def to_train(base: str | Path, batch_tokens: int, rank: int, checkpoints: int, devices: int = 1) -> Needs:
    """What it takes to train a model: with adapters of `rank`, or all of it where that is 0.

    A step keeps of each token some 80 numbers a unit of width in each layer, and its logits three times. `checkpoints` are on the
    disk at once, each with the two moments of the optimiser.
    """
    size = size_of(base)
    if size is None:
        return Needs(2 * RUNTIME_BYTES)
    adapters = 14 * rank * 2 * size.hidden * size.layers
    trained = min(adapters, size.num_weights) if rank else size.num_weights
    kept = batch_tokens * (80 * size.layers * size.hidden // BYTES_A_NUMBER + 3 * size.vocabulary)
    numbers = size.num_weights + 3 * trained + kept
    there = machine().gpus
    return Needs(
        RUNTIME_BYTES + BYTES_A_NUMBER * numbers,
        BYTES_A_NUMBER * (3 * trained * checkpoints + size.num_weights),
        min(devices or there, there),
    )
