"""Attention inside the rows of a pack, exactly and without any mask over the pack; a beginning that rows share is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from endonym.train.batches import SHORT, Piece

ATTENTION = "endonym_packed"
"""Name under which the packed attention is registered with transformers."""


def register_attention() -> None:
    """Make `ATTENTION` known to transformers."""
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
    pieces: Sequence[Piece] = (),
    **unused: Any,
) -> tuple[torch.Tensor, None]:
    """Shapes: query (1, H, T, D), key and value (1, H or fewer, T, D); returns (1, T, H, D)."""
    assert pieces, "packed attention needs the pieces of the pack"
    # Over float32 weights in bf16 arithmetic, positions are turned in float32 and the values are not.
    query, key = query.to(value.dtype), key.to(value.dtype)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if query.device.type == "cpu" and dropout == 0.0 and max(len(p.before) + p.end - p.start for p in pieces) <= SHORT:
        return _together(query, key, value, pieces, scale), None
    grouped = query.shape[1] != key.shape[1]
    rows = []
    for piece in pieces:
        before, own = piece.before, slice(piece.start, piece.end)
        keys, values = key[:, :, own], value[:, :, own]
        mask = None
        if len(before):
            keys = torch.cat([key[:, :, before.start : before.stop], keys], dim=2)
            values = torch.cat([value[:, :, before.start : before.stop], values], dim=2)
            mask = torch.ones(piece.end - piece.start, keys.shape[2], dtype=torch.bool, device=key.device)
            mask = mask.tril(len(before))
        rows.append(
            torch.nn.functional.scaled_dot_product_attention(
                query[:, :, own], keys, values, attn_mask=mask, is_causal=mask is None,
                scale=scale, dropout_p=dropout, enable_gqa=grouped,
            )
        )  # fmt: skip
    return torch.cat(rows, dim=2).transpose(1, 2).contiguous(), None


def _together(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, pieces: Sequence[Piece], scale: float
) -> torch.Tensor:
    """Attention of pieces of like lengths at once, padded to the longest: for short rows on a CPU three times faster than row by row.

    A piece's padding stands behind it, where causal attention never looks.
    """
    _, heads, total, width = query.shape
    kv_heads = key.shape[1]
    groups = heads // kv_heads
    out = query.new_zeros(total, heads, width)
    q_TND, k_TND, v_TND = (x[0].transpose(0, 1) for x in (query, key, value))
    for block in _blocks(tuple(pieces)):
        number, longest, reach = block.number, block.longest, block.shared + block.longest
        # Query heads that share a key head stand below each other in one matrix, so keys are never repeated.
        q = _padded(q_TND, block.own, block.place, number, longest).reshape(number * kv_heads, groups * longest, width)
        k = _padded(k_TND, block.seen, block.put, number, reach).reshape(number * kv_heads, reach, width)
        v = _padded(v_TND, block.seen, block.put, number, reach).reshape(number * kv_heads, reach, width)
        mask = torch.full((longest, reach), float("-inf"), dtype=q.dtype).triu_(1 + block.shared).repeat(groups, 1)
        found = _Attention.apply(q, k, v, mask, scale)
        found = found.view(number, heads, longest, width).transpose(1, 2).reshape(number * longest, heads, width)
        out = out.index_copy(0, block.own, found.index_select(0, block.place))
    return out.unsqueeze(0)


@dataclass(frozen=True)
class _Block:
    """Pieces that are attended to in one product: queries of `longest` tokens over keys of `shared + longest`, padded."""

    number: int
    shared: int
    longest: int
    own: torch.Tensor
    """Tokens of the pieces, in order; shape (tokens,)."""
    place: torch.Tensor
    """Where each stands among the padded queries."""
    seen: torch.Tensor
    """Tokens that the pieces see: those before and their own; shape (tokens seen,)."""
    put: torch.Tensor
    """Where each stands among the padded keys."""


@lru_cache(maxsize=16)
def _blocks(pieces: tuple[Piece, ...]) -> list[_Block]:
    """Pieces with beginnings of one length, none less than half as long as another; every layer asks for the same.

    What is padded is computed and kept for the way back as well: without the halving, a long row among short ones costs a gigabyte.
    """
    made = []
    for shared in sorted({len(p.before) for p in pieces}):
        left = sorted((p for p in pieces if len(p.before) == shared), key=lambda p: p.start - p.end)
        while left:
            longest = -(-(left[0].end - left[0].start) // 32) * 32
            alike = [p for p in left if 2 * (p.end - p.start) > longest or longest <= 32]
            left = left[len(alike) :]
            own = [t for p in alike for t in range(p.start, p.end)]
            place = [i * longest + n for i, p in enumerate(alike) for n in range(p.end - p.start)]
            seen = [t for p in alike for t in p.keys]
            put = [i * (shared + longest) + n for i, p in enumerate(alike) for n in range(len(p.keys))]
            made.append(_Block(len(alike), shared, longest, *map(torch.tensor, (own, place, seen, put))))
    return made


def forget() -> None:
    """Drop what is kept about the packs seen so far."""
    _blocks.cache_clear()


def _padded(x_TND: torch.Tensor, taken: torch.Tensor, put: torch.Tensor, number: int, length: int) -> torch.Tensor:
    """Tokens `taken` of x at the places `put` of `number` matrices of `length` tokens; shape (number, N, length, D)."""
    rows = _Gather.apply(x_TND, taken)
    flat = rows.new_zeros(number * length, *x_TND.shape[1:]).index_copy(0, put, rows)
    return flat.view(number, length, *x_TND.shape[1:]).transpose(1, 2)


class _Gather(torch.autograd.Function):
    """x[taken], where a token may be taken often; its gradients are summed in float32."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, taken: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(taken)
        ctx.shape = x.shape
        return x.index_select(0, taken)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (taken,) = ctx.saved_tensors
        total = torch.zeros(ctx.shape, dtype=torch.float32).index_add_(0, taken, grads[0].float())
        return total.to(grads[0].dtype), None


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
