"""Which rows a step sees, and how rows are packed without seeing each other.

The order is a pure function of (seed, epoch, cursor): a checkpoint holds the cursor, not an iterator. Rows are laid end to end
without padding; attention runs inside each row alone, so packing changes speed and nothing else.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from endonym.models.render import IGNORE, Example

ATTENTION = "endonym_packed"
"""Name under which the packed attention is registered with transformers."""

ROUND = 128
"""Packs on a CPU are filled up to a multiple of this many tokens."""

SHORT = 320
"""Longest row, in tokens, for which all rows of a pack are attended to in one padded product."""


@dataclass(frozen=True)
class Cursor:
    """A place in the data: rows of `epoch` before `row` have been used."""

    epoch: int = 0
    row: int = 0


@dataclass(frozen=True)
class Packed:
    """Rows laid end to end. Shapes: `ids`, `labels`, `positions` (1, T); `starts` holds row bounds, length rows + 1."""

    ids: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor
    starts: tuple[int, ...]
    num_tokens: int
    """Tokens of the rows themselves, without what fills the pack up."""

    @property
    def num_learned(self) -> int:
        """Positions with a label that has a token before it in its row."""
        return int((self.targets() != IGNORE).sum())

    def targets(self) -> torch.Tensor:
        """Labels moved one to the left inside each row, shape (T,); a row's last position predicts nothing."""
        shifted = torch.full_like(self.labels[0], IGNORE)
        shifted[:-1] = self.labels[0, 1:]
        shifted[torch.tensor(self.starts[1:]) - 1] = IGNORE
        return shifted


def order(num_rows: int, weights: Sequence[float], seed: int, epoch: int) -> list[int]:
    """Row numbers of one epoch in random order; a row of weight w comes floor(w) times, and once more with the rest's chance."""
    if not any(w > 0 for w in weights):
        raise ValueError("every row has weight 0")
    chooser = random.Random(f"{seed}:{epoch}")
    rows = []
    for i in range(num_rows):
        times = int(weights[i]) + (chooser.random() < weights[i] % 1.0)
        rows += [i] * times
    chooser.shuffle(rows)
    return rows


def by_stages(
    stages: Sequence[Collection[int]], lengths: Sequence[int], weights: Sequence[float], seed: int, epoch: int
) -> list[int]:
    """Row numbers of one epoch when the first epochs are stages: `lengths[n]` draws from the rows in `stages[n]`, in random order.

    A stage goes through its rows as often as its length asks for. After the last stage come epochs of all rows, as in `order`.
    """
    if epoch >= len(stages):
        return order(len(weights), weights, seed, epoch)
    own = set(stages[epoch])
    # Each stage shuffles on its own: its seed must not be that of an epoch of all rows.
    inside = [w if i in own else 0.0 for i, w in enumerate(weights)]
    rows: list[int] = []
    turn = 0
    while len(rows) < lengths[epoch]:
        rows += order(len(weights), inside, seed * 1_000_003 + epoch + 1, turn)
        turn += 1
    return rows[: lengths[epoch]]


def steps(rows_of: Callable[[int], list[int]], batch_size: int, cursor: Cursor) -> Iterator[tuple[list[int], Cursor]]:
    """Yield endlessly `(row numbers of the next optimiser step, cursor after it)`; a step may span two epochs.

    `rows_of(epoch)` gives the row numbers of an epoch in their order, the same whenever it is asked.
    """
    epoch, at = cursor.epoch, cursor.row
    rows = rows_of(epoch)
    while True:
        chosen: list[int] = []
        while len(chosen) < batch_size:
            if at >= len(rows):
                epoch, at = epoch + 1, 0
                rows = rows_of(epoch)
            taken = rows[at : at + batch_size - len(chosen)]
            chosen += taken
            at += len(taken)
        yield chosen, Cursor(epoch, at)


def micro_batches(examples: Sequence[Example], most_tokens: int) -> list[list[Example]]:
    """Cut one step's rows into as few packs of at most `most_tokens` tokens as will do, all about equally full.

    A longer row stands alone. Longest rows are placed first, each into the emptiest pack.
    """
    ordered = sorted(examples, key=lambda e: -len(e.ids))
    number = max(1, -(-sum(len(e.ids) for e in examples) // most_tokens))
    while True:
        packs: list[list[Example]] = [[] for _ in range(number)]
        filled = [0] * number
        for example in ordered:
            emptiest = filled.index(min(filled))
            packs[emptiest].append(example)
            filled[emptiest] += len(example.ids)
        packs = [p for p in packs if p]
        if all(len(p) == 1 or sum(len(e.ids) for e in p) <= most_tokens for p in packs):
            return packs
        number += 1


def pack(examples: Sequence[Example], device: torch.device) -> Packed:
    """Lay rows end to end with positions that start at 0 in each.

    On a CPU a row that teaches nothing fills the pack up to a multiple of `ROUND` tokens: the matrix library prepares itself
    anew for every size it has not met, which costs up to half the time when every pack has another.
    """
    rows = list(examples)
    total = sum(len(e.ids) for e in rows)
    filler = -total % ROUND if device.type == "cpu" else 0
    if filler:
        rows.append(Example([0] * filler, [IGNORE] * filler))
    ids = [t for e in rows for t in e.ids]
    labels = [t for e in rows for t in e.labels]
    positions = [p for e in rows for p in range(len(e.ids))]
    starts = [0]
    for e in rows:
        starts.append(starts[-1] + len(e.ids))

    def as_row(values: list[int]) -> torch.Tensor:
        return torch.tensor([values], device=device)

    return Packed(as_row(ids), as_row(labels), as_row(positions), tuple(starts), total)


def register_attention() -> None:
    """Make `ATTENTION` known to transformers: causal attention inside each row of a pack, exactly, without any mask."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(ATTENTION, _packed_attention)
    AttentionMaskInterface.register(ATTENTION, lambda *args, **kwargs: None)


def _packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    starts: Sequence[int] = (),
    **unused: Any,
) -> tuple[torch.Tensor, None]:
    """Shapes: query (1, H, T, D), key and value (1, H or fewer, T, D); returns (1, T, H, D)."""
    assert starts, "packed attention needs the row bounds"
    # Over float32 weights in bf16 arithmetic, positions are turned in float32 and the values are not.
    query, key = query.to(value.dtype), key.to(value.dtype)
    lengths = [b - a for a, b in itertools.pairwise(starts)]
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if query.device.type == "cpu" and dropout == 0.0 and max(lengths) <= SHORT:
        return _together(query, key, value, lengths, scale), None
    grouped = query.shape[1] != key.shape[1]
    rows = [
        torch.nn.functional.scaled_dot_product_attention(
            query[:, :, a:b], key[:, :, a:b], value[:, :, a:b],
            is_causal=True, scale=scale, dropout_p=dropout, enable_gqa=grouped,
        )
        for a, b in itertools.pairwise(starts)
    ]  # fmt: skip
    return torch.cat(rows, dim=2).transpose(1, 2).contiguous(), None


def _together(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: Sequence[int], scale: float
) -> torch.Tensor:
    """Attention of all rows at once, padded to the longest: for short rows on a CPU three times faster than row by row.

    A row's padding stands behind it, where causal attention never looks.
    """
    _, heads, _total, width = query.shape
    kv_heads = key.shape[1]
    groups, longest, number = heads // kv_heads, -(-max(lengths) // 32) * 32, len(lengths)
    where = torch.cat([torch.arange(n) + i * longest for i, n in enumerate(lengths)])

    def padded(x: torch.Tensor) -> torch.Tensor:
        """(1, N, T, D) to (rows, N, longest, D)."""
        flat = x.new_zeros(number * longest, x.shape[1], width)
        return flat.index_copy(0, where, x[0].transpose(0, 1)).view(number, longest, x.shape[1], width).transpose(1, 2)

    # Query heads that share a key head stand below each other in one matrix, so keys are never repeated.
    q = padded(query).reshape(number * kv_heads, groups * longest, width)
    k = padded(key).reshape(number * kv_heads, longest, width)
    v = padded(value).reshape(number * kv_heads, longest, width)
    mask = torch.full((longest, longest), float("-inf"), dtype=q.dtype).triu_(1).repeat(groups, 1)
    out = _Attention.apply(q, k, v, mask, scale)
    out = out.view(number, kv_heads * groups, longest, width).transpose(1, 2).reshape(number * longest, heads, width)
    return out.index_select(0, where).unsqueeze(0)


class _Attention(torch.autograd.Function):
    """softmax(scale q kᵀ + mask) v with its gradient written out. Shapes: q (N, Q, D), k and v (N, K, D), mask (Q, K)."""

    @staticmethod
    def forward(
        ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor, scale: float
    ) -> torch.Tensor:
        scores = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=scale)
        p = torch.softmax(scores, dim=-1)
        out = torch.bmm(p, v)
        ctx.save_for_backward(q, k, v, p, out)
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        q, k, v, p, out = ctx.saved_tensors
        d_out = grads[0].contiguous()
        dv = torch.bmm(p.transpose(1, 2), d_out)
        ds = torch.bmm(d_out, v.transpose(1, 2))
        ds = ds.sub_((d_out * out).sum(-1, keepdim=True)).mul_(p)
        dq = torch.bmm(ds, k).mul_(ctx.scale)
        dk = torch.bmm(ds.transpose(1, 2), q).mul_(ctx.scale)
        return dq, dk, dv, None, None
