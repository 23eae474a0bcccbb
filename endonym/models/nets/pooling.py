"""The mean of everything read so far, at every token: what a router may know without looking ahead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicLayer


class Pooled(DynamicLayer):
    """Sums of the features read so far, kept in the cache of attention so that they follow its rows. `keys` is (B, 1, 1, D)."""

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
    def sums(self) -> torch.Tensor | None:
        """Shape (B, 1, D); None before anything was read."""
        return self.keys[:, 0] if self.is_initialized else None

    def keep(self, sums: torch.Tensor) -> None:
        """Remember the sums (B, D) of all that was read."""
        self.keys = self.values = sums[:, None, None]
        self.dtype, self.device, self.is_initialized = sums.dtype, sums.device, True

    def crop(self, tokens_to_remove: int) -> None:
        """Refuse to forget single tokens: what they added is not known any more."""
        if tokens_to_remove:
            raise ValueError("what a router has read cannot be taken back token by token")


def wide(states: torch.Tensor) -> torch.Tensor:
    """`states` in the widest format of their device: a sum over a pack must not depend on what else is in it."""
    return states.float() if states.device.type == "mps" else states.double()


def means(states: torch.Tensor, positions: torch.Tensor | None, cache: Any, layers: int) -> torch.Tensor:
    """Means (B, T, D) over each row up to each token of `states` (B, T, D), whose places in their rows are `positions` (B or 1, T).

    Rows padded on the left begin where their position is 0. What was read before is taken from `cache`, and what is read now is left there.
    """
    pooled = None if cache is None else Pooled.of(cache, layers)
    before = None if pooled is None else pooled.sums
    place = torch.arange(states.shape[1], device=states.device)
    if positions is None:
        positions = (place + (cache.get_seq_length() if cache is not None else 0))[None]
    positions = positions.expand(states.shape[0], -1)
    running = torch.nn.functional.pad(wide(states).cumsum(1), (0, 0, 1, 0))
    first = (place - positions).clamp(min=0)
    sums = running[:, 1:] - running.gather(1, first[..., None].expand(-1, -1, states.shape[-1]))
    if before is not None:
        sums = sums + before * (positions > place)[..., None]
    if pooled is not None:
        pooled.keep(sums[:, -1])
    return (sums / (positions + 1)[..., None]).float()


def means_of_pack(states: torch.Tensor, pieces: Sequence[Any]) -> torch.Tensor:
    """Means (1, T, D) over each row of a pack up to each token of `states` (1, T, D); a beginning that rows share counts in each."""
    first, start, stop = ([0] * states.shape[1] for _ in range(3))
    for piece in pieces:
        length = piece.end - piece.start
        first[piece.start : piece.end] = [piece.start] * length
        start[piece.start : piece.end] = [piece.before.start if piece.before else 0] * length
        stop[piece.start : piece.end] = [piece.before.stop if piece.before else 0] * length
    running = torch.nn.functional.pad(wide(states[0]).cumsum(0), (0, 0, 1, 0))
    own, begun, ended = (torch.tensor(places, device=states.device) for places in (first, start, stop))
    place = torch.arange(states.shape[1], device=states.device)
    sums = running[1:] - running[own] + running[ended] - running[begun]
    return (sums / (place + 1 - own + ended - begun)[:, None]).float()[None]
