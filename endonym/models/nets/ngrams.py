"""Embeddings of bytes and of the n-grams that end at them, which are found by a hash."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from endonym.models.nets.dropout import dropped

PRIME = (1 << 31) - 1
"""Hashes and powers are kept below it, so that no sum of products with ids comes near 63 bits: overflow, which not every runtime
computes alike, never happens."""
FACTOR = 1_000_003


def history(ids: torch.Tensor, positions: torch.Tensor, length: int) -> torch.Tensor:
    """The last `length` ids up to each of the T tokens, the newest first; shape (T, length). Before its row begins there is 0."""
    back = torch.arange(length, device=ids.device)
    places = torch.arange(ids.shape[0], device=ids.device)[:, None] - back
    return torch.where(positions[:, None] >= back, ids[places.clamp(min=0)], 0)


def further(recent: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """The `history` (T, length) of `tokens` (T,) that come after the one whose own is `recent` (1, length)."""
    ids = torch.cat([recent[0].flip(0), tokens])
    return ids.unfold(0, recent.shape[1], 1)[1:].flip(1)


def hashed(recent: torch.Tensor, length: int, rows: int) -> torch.Tensor:
    """Which of `rows` rows of a table the n-gram of `length` ids has that ends at each token; shape (T,).

    `recent` (T, at least `length`) is a `history`. A polynomial in `FACTOR` modulo `PRIME`, whose powers are reduced beforehand.
    """
    powers = recent.new_tensor([pow(FACTOR, back, PRIME) for back in range(length)])
    return ((recent[:, :length] + 1) * powers).sum(1) % PRIME % rows


class Bytes(torch.nn.Module):
    """The embedding of a byte plus those of the n-grams that end at it (Pagnoni and others, Byte Latent Transformer, 2024)."""

    def __init__(self, vocabulary: int, width: int, lengths: Sequence[int], rows: int, dropout: float = 0.0):
        super().__init__()
        self.lengths, self.rows, self.dropout = tuple(lengths), rows, dropout
        self.own = torch.nn.Embedding(vocabulary, width)
        self.grams = torch.nn.ModuleList(torch.nn.Embedding(rows, width) for _ in self.lengths)

    def forward(self, recent: torch.Tensor) -> torch.Tensor:
        """Shapes: `recent` (T, longest n-gram or more), the newest id first; returns (T, width)."""
        found: torch.Tensor = self.own(recent[:, 0])
        tables = zip(self.lengths, self.grams, strict=True)
        grams = [table(hashed(recent, length, self.rows)) for length, table in tables]
        return found + summed(torch.stack(grams, dim=1), self.dropout, self.training) if grams else found


def summed(grams: torch.Tensor, dropout: float, training: bool) -> torch.Tensor:
    """The sum of the embeddings (T, n, width) of the n-grams that end at each token; in training some are left out as wholes.

    In other texts many n-grams were never met, and after one reading all were: a network that always has them leans on the longest.
    """
    if training and dropout:
        grams = grams * dropped(torch.ones_like(grams[..., :1]), dropout, training)
    return grams.sum(1)
