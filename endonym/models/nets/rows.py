"""Rows of different lengths laid end to end, attention inside each of them, and rows that grow by one token at a time.

Shapes: T tokens of all rows, R rows, L tokens of the longest of rows that are computed together, H heads, D width of a head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, Protocol

import torch
from torch.nn.functional import scaled_dot_product_attention

from endonym.models.nets.together import SHORT, Piece, Plan, Together, plan

BASE = 10_000.0
"""Of the angles by which positions turn (Su and others, RoFormer, 2021)."""

FILL = 32
"""To prepare a product of sizes that were not met before takes a CPU longer than many a product itself."""


@dataclass(frozen=True)
class Found:
    """Rows taken out of what a caller brought, and the way back to it."""

    ids: torch.Tensor
    """(T,)"""
    lengths: list[int]
    back: torch.Tensor
    """For each place of what was brought, (B, S), which of the T tokens it is; any where it is padding."""

    def given(self, states: torch.Tensor) -> torch.Tensor:
        """States (T, D) as they were brought, (B, S, D)."""
        return states.index_select(0, self.back.flatten()).view(*self.back.shape, -1)


def rows_of(ids: torch.Tensor, mask: torch.Tensor | None = None, pieces: Sequence[Any] = ()) -> Found:
    """The rows in `ids` (B, S): all of it, what `mask` (B, S) leaves wherever the padding is, or the `pieces` of a pack.

    A piece has `start`, `end` and `before`, the places that come before it in its row; these are computed again for each.
    """
    if pieces:
        taken = [t for piece in pieces for t in (*piece.before, *range(piece.start, piece.end))]
        lengths = [len(piece.before) + piece.end - piece.start for piece in pieces]
        back, at = [0] * ids.shape[1], 0
        for piece, length in zip(pieces, lengths, strict=True):
            first = at + len(piece.before)
            back[piece.start : piece.end] = range(first, at + length)
            at += length
        return Found(ids[0, torch.tensor(taken, device=ids.device)], lengths, torch.tensor([back], device=ids.device))
    if mask is None:
        every = torch.arange(ids.numel(), device=ids.device).view(ids.shape)
        return Found(ids.reshape(-1), [ids.shape[1]] * ids.shape[0], every)
    inside = mask.bool()
    back_BS = (inside.flatten().cumsum(0) - 1).clamp(min=0).view(ids.shape)
    return Found(ids[inside], inside.sum(1).tolist(), back_BS)


class Places(Protocol):
    """Where tokens stand, and what they attend to."""

    positions: torch.Tensor
    """(T,): how many tokens come before each in its row."""

    def attend(
        self, block: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, window: int, dropout: float
    ) -> torch.Tensor:
        """What block number `block` sees. Shapes (T, H, D). With a `window`, a token sees itself and those before it, so many in all."""


class Memory:
    """Keys and values of some blocks for R rows, which may be of different lengths."""

    def __init__(self, num_blocks: int):
        self.keys: list[torch.Tensor] = [torch.empty(0)] * num_blocks
        self.values: list[torch.Tensor] = [torch.empty(0)] * num_blocks
        """(R, H, places, D) for each block; there are more places than are used."""
        self.used = torch.empty(0, dtype=torch.long)
        """(R,)"""

    def fill(self, block: int, k: torch.Tensor, v: torch.Tensor, laid: Laid) -> None:
        """Keep what a block made of whole rows, shapes (T, H, D)."""
        self.used = torch.tensor(laid.lengths, device=k.device)
        shape = (len(laid.lengths), k.shape[1], max(laid.lengths) + 16, k.shape[2])
        for kept, new in ((self.keys, k), (self.values, v)):
            kept[block] = new.new_zeros(shape)
            kept[block].transpose(1, 2)[laid.row, laid.positions] = new

    def add(
        self, block: int, rows: torch.Tensor, k: torch.Tensor, v: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put one token of each of `rows`, shapes (rows, H, D), behind what is kept; returns all that is kept of these rows."""
        at = self.used[rows]
        for kept, new in ((self.keys, k), (self.values, v)):
            if int(self.used.max()) >= kept[block].shape[2]:
                kept[block] = torch.cat([kept[block], torch.zeros_like(kept[block])], dim=2)
            kept[block][rows, :, at] = new
        longest = int(at.max()) + 1
        return self.keys[block][rows, :, :longest], self.values[block][rows, :, :longest]

    def lengthen(self, block: int, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Put tokens of the only row, shapes (T, H, D), behind what is kept of it; returns all of that, (H, places, D)."""
        used = int(self.used)
        for kept, new in ((self.keys, k), (self.values, v)):
            kept[block] = torch.cat([kept[block][:, :, :used], new.transpose(0, 1)[None]], dim=2)
        return self.keys[block][0], self.values[block][0]

    def state(self, name: str) -> dict[str, torch.Tensor]:
        """All that is kept, under names that begin with `name`."""
        longest = int(self.used.max()) if len(self.used) else 0
        blocks = {
            f"{name}.{block}.{kind}": kept[block][:, :, :longest].contiguous()
            for kind, kept in (("keys", self.keys), ("values", self.values))
            for block in range(len(kept))
        }
        return {f"{name}.used": self.used, **blocks}

    def restore(self, name: str, state: Mapping[str, torch.Tensor]) -> None:
        """Take back what `state` gave."""
        self.used = state[f"{name}.used"]
        for kind, kept in (("keys", self.keys), ("values", self.values)):
            kept[:] = [state[f"{name}.{block}.{kind}"] for block in range(len(kept))]

    def choose(self, rows: torch.Tensor) -> None:
        """Keep `rows` alone, in their order; one may come several times."""
        self.keys, self.values = ([x[rows] for x in kept] for kept in (self.keys, self.values))
        self.used = self.used[rows]


class Laid:
    """Whole rows laid end to end; with a `memory`, what later tokens will need is put there."""

    def __init__(self, lengths: Sequence[int], device: torch.device, memory: Memory | None = None):
        self.lengths, self.memory = list(lengths), memory
        starts = torch.tensor([0, *accumulate(self.lengths[:-1])], device=device)
        counts = torch.tensor(self.lengths, device=device)
        total = sum(self.lengths)
        self.row = torch.arange(len(self.lengths), device=device).repeat_interleave(counts, output_size=total)
        """(T,): the number of each token's row."""
        self.positions = torch.arange(total, device=device) - starts[self.row]
        self.last = starts + counts - 1
        """(R,): where each row ends."""
        self._device = device
        self._plans: dict[tuple[int, torch.dtype], Plan] = {}

    def attend(
        self, block: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, window: int, dropout: float
    ) -> torch.Tensor:
        """Rows of like lengths at once, padded at their ends to the longest, where causal attention never looks."""
        if self.memory is not None:
            self.memory.fill(block, k, v, self)
        if q.device.type == "cpu" and q.requires_grad and not window and max(self.lengths) <= SHORT:
            # Positions may be turned in float32 where products are computed in bf16.
            heads = (x.to(v.dtype).transpose(0, 1)[None] for x in (q, k, v))
            seen: torch.Tensor = Together.apply(*heads, self._plan(q.shape[1], v.dtype), q.shape[2] ** -0.5, dropout)[0]
            return seen
        made, (groups, found) = [], self._grouped
        for places in groups:
            shape = (*places.shape, *q.shape[1:])
            # Rows of one length are laid out already.
            q_g, k_g, v_g = (
                (x if found is None else x.index_select(0, places.flatten())).view(shape).transpose(1, 2)
                for x in (q, k, v)
            )
            length = shape[1]
            near = window and length > window
            mask = (
                torch.ones(length, length, dtype=torch.bool, device=q.device).tril().triu(1 - window) if near else None
            )
            seen = scaled_dot_product_attention(q_g, k_g, v_g, mask, dropout, is_causal=mask is None)
            made.append(seen.transpose(1, 2).flatten(0, 1))
        return made[0] if found is None else torch.cat(made).index_select(0, found)

    @cached_property
    def _grouped(self) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        return _groups(tuple(self.lengths), self._device)

    def _plan(self, heads: int, kind: torch.dtype) -> Plan:
        """How the rows are laid out for training; blocks ask for the same one after the other."""
        if (heads, kind) not in self._plans:
            ends = list(accumulate(self.lengths))
            rows = [Piece(end - length, end) for end, length in zip(ends, self.lengths, strict=True)]
            self._plans[heads, kind] = plan(rows, heads, heads, kind)
        return self._plans[heads, kind]


class Step:
    """One more token for each of `rows` of a memory. Call `done` when all blocks have seen it."""

    def __init__(self, memory: Memory, rows: torch.Tensor):
        self.memory, self.rows = memory, rows
        self.positions = memory.used[rows]

    def attend(
        self, block: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, window: int, dropout: float
    ) -> torch.Tensor:
        keys, values = self.memory.add(block, self.rows, k, v)
        place = torch.arange(keys.shape[2], device=q.device)
        mask = place <= self.positions[:, None]
        if window:
            mask = mask & (place > self.positions[:, None] - window)
        return scaled_dot_product_attention(q[:, :, None], keys, values, mask[:, None, None])[:, :, 0]

    def done(self) -> None:
        self.memory.used = self.memory.used.index_add(0, self.rows, torch.ones_like(self.rows))


class More:
    """Several more tokens for the one row of a memory. Call `done` when all blocks have seen them."""

    def __init__(self, memory: Memory, num_tokens: int):
        self.memory, self.num_tokens = memory, num_tokens
        self.positions = memory.used + torch.arange(num_tokens, device=memory.used.device)

    def attend(
        self, block: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, window: int, dropout: float
    ) -> torch.Tensor:
        keys, values = self.memory.lengthen(block, k, v)
        place = torch.arange(keys.shape[1], device=q.device)
        mask = place <= self.positions[:, None]
        if window:
            mask = mask & (place > self.positions[:, None] - window)
        return scaled_dot_product_attention(q.transpose(0, 1)[None], keys[None], values[None], mask)[0].transpose(0, 1)

    def done(self) -> None:
        self.memory.used = self.memory.used + self.num_tokens


def filled(counts: Sequence[int], device: torch.device, memory: Memory | None) -> list[int]:
    """`counts` of rows, in training on a CPU with a row more that makes their sum a multiple of `FILL`."""
    more = -sum(counts) % FILL
    return [*counts, more] if more and memory is None and device.type == "cpu" else list(counts)


def turned(x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Turn the two halves of each head of x (T, H, D) against each other by its position; in float32."""
    half = x.shape[-1] // 2
    speeds = BASE ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angles = positions[:, None, None].float() * speeds
    first, second = x.float().split(half, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)


def _groups(lengths: tuple[int, ...], device: torch.device) -> tuple[list[torch.Tensor], torch.Tensor | None]:
    """Places (rows, L) of the rows that are computed together, none less than half as long as another, and where each token is
    found among the results; None for rows of one length, whose results are in order."""
    starts = [0, *accumulate(lengths)]
    if len(set(lengths)) == 1:
        return [torch.arange(starts[-1], device=device).view(len(lengths), -1)], None
    left = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    groups, found, laid = [], [0] * starts[-1], 0
    while left:
        longest = lengths[left[0]]
        alike = [i for i in left if 2 * lengths[i] > longest or longest <= 32]
        left = left[len(alike) :]
        places = []
        for i in alike:
            places.append([min(starts[i] + t, starts[i + 1] - 1) for t in range(longest)])
            found[starts[i] : starts[i + 1]] = range(laid, laid + lengths[i])
            laid += longest
        groups.append(torch.tensor(places, device=device))
    return groups, torch.tensor(found, device=device)
