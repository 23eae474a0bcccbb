"""What a job that loads a model takes of the machine, told from the model's files alone: rather too much than too little."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from endonym.models import weights
from endonym.store.tokens import Needs, machine

RUNTIME_BYTES = 1_000_000_000
"""Python, PyTorch and transformers in main memory, with what they prepare for products."""
BYTES_A_NUMBER = 4
TOKENS_AT_ONCE = 1536
"""Tokens of a training step that are computed at once where nobody says otherwise; the rest of a step comes after."""
TRIAL_RANK = 16
"""Rank of the adapters that short trials train (models/lesson.py), kept here because telling what they need loads nothing heavy."""
TRIAL_TOKENS = 2048
"""Tokens such a trial computes at once, padding included."""


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
    """The size of a base model that is here as it is loaded; None where it is not, or cannot be told. Nothing is made or fetched."""
    folder = weights.cached(str(base)) or Path(base).expanduser()
    try:
        about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        text = about.get("text_config") or about
        layers, hidden, vocabulary = (int(text[key]) for key in ("num_hidden_layers", "hidden_size", "vocab_size"))
        context = text.get("max_position_embeddings")
        return Size(weights.num_parameters(folder), layers, hidden, vocabulary, context)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def to_answer(base: str | Path, models: int = 1) -> Needs:
    """What it takes to let a model, or several of its size at once, answer."""
    size = size_of(base)
    held = (size.num_weights if size else _catalogued(base)) * BYTES_A_NUMBER * models
    return Needs(RUNTIME_BYTES + held * 5 // 4, gpus=min(1, machine().gpus))


def to_train(base: str | Path, batch_tokens: int, rank: int, checkpoints: int, devices: int = 1) -> Needs:
    """What it takes to train a model: with adapters of `rank`, or all of it where that is 0.

    A step keeps of each token some 80 numbers a unit of width in each layer, and its logits three times. `checkpoints` are on the
    disk at once, each with the two moments of the optimiser. Of a base that is not here, only the number of its weights is known.
    """
    size, there = size_of(base), machine().gpus
    gpus = min(devices or there, there)
    if size is None:
        return Needs(2 * RUNTIME_BYTES + BYTES_A_NUMBER * _catalogued(base) * (1 if rank else 4), gpus=gpus)
    adapters = 14 * rank * 2 * size.hidden * size.layers
    trained = min(adapters, size.num_weights) if rank else size.num_weights
    kept = batch_tokens * (80 * size.layers * size.hidden // BYTES_A_NUMBER + 3 * size.vocabulary)
    numbers = size.num_weights + 3 * trained + kept
    return Needs(
        RUNTIME_BYTES + BYTES_A_NUMBER * numbers, BYTES_A_NUMBER * (3 * trained * checkpoints + size.num_weights), gpus
    )


def by_plugins(base: str | Path, chosen: Mapping[str, tuple[ModuleType, Any]]) -> Needs:
    """Of a job that computes with the base only where one of its plugins requires PyTorch: what that one takes; else the little most need.

    A plugin that trains says it: `needs(cfg, base) -> Needs`.
    """
    heavy = [
        module.needs(cfg, base) if hasattr(module, "needs") else to_answer(base)
        for module, cfg in chosen.values()
        if "torch" in getattr(module, "REQUIRES", {})
    ]
    return max(heavy, key=lambda one: one.memory_bytes, default=Needs())


def _catalogued(base: str | Path) -> int:
    """How many weights the catalog says a model has; 0 for one it does not know."""
    return int(weights.catalog().get(str(base), {}).get("parameters", 0))
