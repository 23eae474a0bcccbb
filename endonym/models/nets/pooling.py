"""Sums over everything read so far, at every token: what a router may know without looking ahead.

Shapes: B rows of T tokens, D numbers of a state, C classes, W = D + C of both together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicLayer

Words = Callable[[torch.Tensor], torch.Tensor]
"""What each token says of each class, (tokens, C), from the token and the one before it, (tokens, 2); 0 before a row begins."""


class Pooled(DynamicLayer):
    """What was read so far, kept in the cache of attention so that it follows its rows: sums, and the last id. `keys` is (B, 1, 1, W + 1)."""

    @classmethod
    def of(cls, cache: Any, layers: int) -> Pooled:
        """The one in `cache`, behind the states of the network's `layers`."""
        while len(cache.layers) < layers:
            cache.layers.append(cache.layer_class_to_replicate())
        if len(cache.layers) == layers:
            cache.layers.append(cls())
        found: Pooled = cache.layers[layers]
        return found

    @property
    def read(self) -> torch.Tensor | None:
        """Shape (B, 1, W + 1); None before anything was read."""
        return self.keys[:, 0] if self.is_initialized else None

    def keep(self, read: torch.Tensor) -> None:
        """Remember what was read, (B, W + 1)."""
        self.keys = self.values = read[:, None, None]
        self.dtype, self.device, self.is_initialized = read.dtype, read.device, True

    def crop(self, tokens_to_remove: int) -> None:
        """Refuse to forget single tokens: what they added is not known any more."""
        if tokens_to_remove:
            raise ValueError("what a router has read cannot be taken back token by token")


def wide(values: torch.Tensor) -> torch.Tensor:
    """`values` in the widest format of their device: a sum over a pack must not depend on what else is in it."""
    return values.float() if values.device.type == "mps" else values.double()


def of_rows(
    states: torch.Tensor, ids: torch.Tensor, words: Words, positions: torch.Tensor | None, cache: Any, layers: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums (B, T, W) over each row up to each token, and how many tokens these are, (B, T).

    `states` (B, T, D) and `ids` (B, T) stand at `positions` (B or 1, T) in their rows. Rows padded on the left begin where their position
    is 0. What was read before is taken from `cache`, and what is read now is left there.
    """
    pooled = None if cache is None else Pooled.of(cache, layers)
    before = None if pooled is None else pooled.read
    place = torch.arange(states.shape[1], device=states.device)
    if positions is None:
        positions = (place + (cache.get_seq_length() if cache is not None else 0))[None]
    positions = positions.expand(states.shape[0], -1)
    last = torch.zeros_like(ids[:, :1]) if before is None else before[..., -1].long()
    earlier = torch.where(positions > 0, torch.cat([last, ids[:, :-1]], dim=1), 0)
    said = words(torch.stack([ids, earlier], dim=-1).flatten(0, 1)).view(*ids.shape, -1)
    running = torch.nn.functional.pad(torch.cat([wide(states), wide(said)], dim=-1).cumsum(1), (0, 0, 1, 0))
    first = (place - positions).clamp(min=0)
    sums = running[:, 1:] - running.gather(1, first[..., None].expand(-1, -1, running.shape[-1]))
    if before is not None:
        sums = sums + before[..., :-1] * (positions > place)[..., None]
    if pooled is not None:
        pooled.keep(torch.cat([sums[:, -1], ids[:, -1:].to(sums.dtype)], dim=-1))
    return sums, positions + 1


def of_pack(
    states: torch.Tensor, ids: torch.Tensor, words: Words, pieces: Sequence[Any]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums (1, T, W) over each row of a pack up to each token of `states` (1, T, D) and `ids` (1, T), and how many tokens these are, (1, T).

    A beginning that rows share counts in each.
    """
    length = states.shape[1]
    first, start, stop, earlier = ([0] * length for _ in range(4))
    for piece in pieces:
        here = range(piece.start, piece.end)
        first[piece.start : piece.end] = [piece.start] * len(here)
        start[piece.start : piece.end] = [piece.before.start if piece.before else 0] * len(here)
        stop[piece.start : piece.end] = [piece.before.stop if piece.before else 0] * len(here)
        # Counted from 1, for a row begins with nothing before it.
        earlier[piece.start : piece.end] = [piece.before.stop if piece.before else 0, *(t + 1 for t in here[:-1])]
    own, begun, ended, back = (torch.tensor(at, device=states.device) for at in (first, start, stop, earlier))
    shifted = torch.nn.functional.pad(ids[0], (1, 0))
    said = words(torch.stack([ids[0], shifted[back]], dim=-1))
    running = torch.nn.functional.pad(torch.cat([wide(states[0]), wide(said)], dim=-1).cumsum(0), (0, 0, 1, 0))
    place = torch.arange(length, device=states.device)
    sums = running[1:] - running[own] + running[ended] - running[begun]
    return sums[None], (place + 1 - own + ended - begun)[None]
