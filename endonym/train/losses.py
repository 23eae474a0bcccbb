"""The losses: a sum over learned tokens, so that any way of cutting a batch adds up to the same number."""

from __future__ import annotations

import torch
from torch.utils.checkpoint import checkpoint

from endonym.models.generate import decoder
from endonym.models.render import IGNORE
from endonym.train.batches import Packed
from endonym.train.network import computing

CHUNK = 1024
"""Positions whose logits exist at the same time."""


def next_token(model: torch.nn.Module, batch: Packed) -> torch.Tensor:
    """Summed cross-entropy in nats over the learned tokens of a pack; a scalar in fp32.

    Logits are computed at learned positions only, `CHUNK` at a time, and once more on the way back, so that the
    vocabulary-wide matrix never stands in memory whole.
    """
    with computing(model):
        return _next_token(model, batch)


def _next_token(model: torch.nn.Module, batch: Packed) -> torch.Tensor:
    hidden = decoder(model)(
        input_ids=batch.ids, position_ids=batch.positions, use_cache=False, pieces=batch.pieces
    ).last_hidden_state[0]
    targets = batch.targets().to(hidden.device)
    where = (targets != IGNORE).nonzero()[:, 0]
    hidden, targets = hidden[where], targets[where]
    head = model.get_output_embeddings()  # type: ignore[operator]
    if len(where) <= CHUNK:
        return _summed(head, hidden, targets)
    total = hidden.new_zeros((), dtype=torch.float32)
    for start in range(0, len(where), CHUNK):
        part = slice(start, start + CHUNK)
        total = total + checkpoint(_summed, head, hidden[part], targets[part], use_reentrant=False)
    return total


def _summed(head: torch.nn.Module, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(head(hidden).float(), targets, reduction="sum")
