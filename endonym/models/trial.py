"""A short training run of a fixed amount of computing on plain text, by which vocabularies are compared."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from endonym.models.adopt import arithmetic
from endonym.models.compute import flops_per_token
from endonym.models.descent import descend
from endonym.models.generate import decoder
from endonym.models.load import Loaded

ROW = 256
"""Tokens in a row: texts stand one behind the other, an end of text between them."""
ROWS = 2
"""Rows computed at once."""


@dataclass(frozen=True)
class Trial:
    """How long and how fast a model is trained."""

    flops: float
    batch_tokens: int
    learning_rate: float
    seed: int = 20


@dataclass(frozen=True)
class Tried:
    """What a trial has seen."""

    steps: int
    tokens: int
    epochs: float
    cancelled: bool


def num_steps(model: Any, cfg: Trial) -> int:
    """Optimiser steps that the computing of a trial pays for, at least one."""
    return max(1, round(cfg.flops / flops_per_token(model) / cfg.batch_tokens))


def run_trial(
    loaded: Loaded,
    texts: Sequence[str],
    cfg: Trial,
    progress: Callable[[int, int, float], None],
    cancelled: Callable[[], bool],
) -> Tried:
    """Train all weights of the model of `loaded` on `texts`."""
    torch.manual_seed(cfg.seed)
    model: Any = loaded.model
    model.train()
    model.requires_grad_(True)
    total = num_steps(model, cfg)
    source = _rows(loaded, texts, cfg.seed)
    per_step, epochs = max(1, cfg.batch_tokens // ROW), 0.0

    def gradients(step: int) -> float:
        nonlocal epochs
        rows = []
        for _ in range(per_step):
            row, epochs = next(source)
            rows.append(row)
        value = 0.0
        for start in range(0, per_step, ROWS):
            part = torch.tensor(rows[start : start + ROWS], device=loaded.device)
            with arithmetic(loaded.device):
                loss = _loss(model, part) / (per_step * (ROW - 1))
            loss.backward()
            value += float(loss.detach())
        return value

    step = descend(model.parameters(), total, cfg.learning_rate, 0.1, gradients, progress, cancelled)
    model.eval()
    return Tried(step, step * per_step * ROW, epochs, step < total)


def _loss(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Summed cross-entropy of rows in nats. Shape of `ids`: (rows, tokens)."""
    hidden = decoder(model)(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    logits = model.get_output_embeddings()(hidden).float()
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum")


def _rows(loaded: Loaded, texts: Sequence[str], seed: int) -> Iterator[tuple[list[int], float]]:
    """Endless rows of `ROW` tokens, and how many times the texts have been read by then; texts in random order every time."""
    end = loaded.renderer.prompt_ids(())
    known = [loaded.renderer.answer_ids(text) for text in texts]
    size = sum(len(ids) + len(end) for ids in known)
    waiting: list[int] = []
    epoch, given = 0, 0
    while True:
        order = list(range(len(known)))
        random.Random(f"{seed}:{epoch}").shuffle(order)
        for i in order:
            waiting += [*end, *known[i]]
            while len(waiting) >= ROW:
                given += ROW
                yield waiting[:ROW], given / size
                del waiting[:ROW]
        epoch += 1
