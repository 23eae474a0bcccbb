"""Attention inside the rows of a pack, exactly and without any mask over the pack; a beginning that rows share is computed once."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

import torch

from endonym.errors import ConfigError
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
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **unused: Any,
) -> tuple[torch.Tensor, None]:
    """Shapes: query (1, H, T, D), key and value (1, H or fewer, T, D); returns (1, T, H, D).

    With a `sliding_window`, a token sees itself and those before it in its row, as many as the window is long. Raises ConfigError
    for a model whose attention bounds its weights or has sinks.
    """
    assert pieces, "packed attention needs the pieces of the pack"
    if softcap is not None or s_aux is not None:
        raise ConfigError(
            f"{type(module).__name__} bounds its attention or lets it go nowhere, which packed rows cannot do",
            "Choose a base model of the Llama, Qwen, Mistral or Gemma 3 family.",
        )
    # Over float32 weights in bf16 arithmetic, positions are turned in float32 and the values are not.
    query, key = query.to(value.dtype), key.to(value.dtype)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    longest = max(len(p.before) + p.end - p.start for p in pieces)
    window = sliding_window if sliding_window is not None and sliding_window < longest else None
    if query.device.type == "cpu" and dropout == 0.0 and longest <= SHORT and window is None:
        return _Together.apply(query, key, value, tuple(pieces), scale), None
    if query.device.type == "cuda" and dropout == 0.0 and query.dtype != torch.float32 and _flash_is_there():
        return _flash(query, key, value, tuple(pieces), scale, window), None
    grouped = query.shape[1] != key.shape[1]
    rows = []
    for piece in pieces:
        before, own = piece.before, slice(piece.start, piece.end)
        keys, values = key[:, :, own], value[:, :, own]
        mask = None
        if len(before):
            keys = torch.cat([key[:, :, before.start : before.stop], keys], dim=2)
            values = torch.cat([value[:, :, before.start : before.stop], values], dim=2)
        if len(before) or window is not None:
            mask = torch.ones(piece.end - piece.start, keys.shape[2], dtype=torch.bool, device=key.device)
            mask = mask.tril(len(before))
        if mask is not None and window is not None:
            mask = mask.triu(len(before) - window + 1)
        rows.append(
            torch.nn.functional.scaled_dot_product_attention(
                query[:, :, own], keys, values, attn_mask=mask, is_causal=mask is None,
                scale=scale, dropout_p=dropout, enable_gqa=grouped,
            )
        )  # fmt: skip
    return torch.cat(rows, dim=2).transpose(1, 2).contiguous(), None


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
    mask: torch.Tensor
    """What a query may not see, as -inf; shape (longest, shared + longest)."""


@lru_cache(maxsize=1)
def _blocks(pieces: tuple[Piece, ...]) -> list[_Block]:
    """Pieces with beginnings of one length, none less than half as long as another; every layer asks for the same.

    Those of one pack alone are kept: what outlives a pack lies scattered in the memory that the next one wants in one piece.

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
            mask = torch.full((longest, shared + longest), float("-inf")).triu_(1 + shared)
            own_T, place_T, seen_T, put_T = map(torch.tensor, (own, place, seen, put))
            made.append(_Block(len(alike), shared, longest, own_T, place_T, seen_T, put_T, mask))
    return made


def forget() -> None:
    """Drop what is kept about the packs seen so far."""
    for kept in (_blocks, _runs):
        kept.cache_clear()


@lru_cache
def _flash_is_there() -> bool:
    """Whether this PyTorch brings FlashAttention for rows of different lengths."""
    return importlib.util.find_spec("torch.nn.attention.varlen") is not None


def _flash(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    pieces: tuple[Piece, ...],
    scale: float,
    window: int | None = None,
) -> torch.Tensor:
    """All pieces of a pack in one call of FlashAttention (Dao, FlashAttention-2, 2023), which aligns a piece with the end of its keys."""
    from torch.nn.attention.varlen import varlen_attn

    seen, queries, keys, most_queries, most_keys = _runs(pieces, query.device)
    q_THD, k_THD, v_THD = (x[0].transpose(0, 1) for x in (query, key, value))
    if seen is not None:
        k_THD, v_THD = k_THD.index_select(0, seen), v_THD.index_select(0, seen)
    out = varlen_attn(
        q_THD.contiguous(), k_THD.contiguous(), v_THD.contiguous(), queries, keys, most_queries, most_keys,
        scale=scale, window_size=(-1 if window is None else window - 1, 0), enable_gqa=query.shape[1] != key.shape[1],
    )  # fmt: skip
    return out.unsqueeze(0)


@lru_cache(maxsize=1)
def _runs(
    pieces: tuple[Piece, ...], where: torch.device
) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor, int, int]:
    """Which tokens the pieces see, one piece after the other (None: all in their order), where each piece's queries and keys begin
    and end (N + 1,), and the longest of both."""
    own = [p.end - p.start for p in pieces]
    reach = [len(p.keys) for p in pieces]
    seen = None if own == reach else torch.tensor([t for p in pieces for t in p.keys], device=where)
    begins = (torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=where) for lengths in (own, reach))
    return seen, *begins, max(own), max(reach)


class _Together(torch.autograd.Function):
    """Attention of pieces of like lengths at once, padded to the longest: for short rows on a CPU three times faster than row by row.

    A piece's padding stands behind it, where causal attention never looks. Only what comes in and out is kept for the way back:
    padded matrices and weights have other sizes in every pack, and would both hold and scatter memory.
    """

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, pieces: tuple[Piece, ...], scale: float
    ) -> torch.Tensor:
        out = query.new_zeros(query.shape[2], query.shape[1], query.shape[3])
        for block in _blocks(pieces):
            q, k, v = _laid(block, query, key, value)
            found = torch.bmm(_weights(block, q, k, scale), v)
            out.index_copy_(0, block.own, _unlaid(block, found, query.shape[1]))
        ctx.save_for_backward(query, key, value, out)
        ctx.pieces, ctx.scale = pieces, scale
        return out.unsqueeze(0)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, out = ctx.saved_tensors
        heads = query.shape[1]
        d_out = grads[0][0]
        # A key is seen by several pieces where it stands in a beginning they share: their gradients are summed in float32.
        dq = torch.zeros_like(out)
        dk, dv = (torch.zeros(out.shape[0], key.shape[1], key.shape[3]) for _ in range(2))
        along = (d_out * out).sum(-1, keepdim=True)
        for block in _blocks(ctx.pieces):
            q, k, v = _laid(block, query, key, value)
            p = _weights(block, q, k, ctx.scale)
            d_found = _padded(d_out, block.own, block.place, block.number, block.longest).reshape(q.shape)
            inner = _padded(along, block.own, block.place, block.number, block.longest).reshape(*q.shape[:2], 1)
            _add(dv, block, torch.bmm(p.transpose(1, 2), d_found))
            ds = torch.bmm(d_found, v.transpose(1, 2)).sub_(inner).mul_(p)
            dq.index_copy_(0, block.own, _unlaid(block, torch.bmm(ds, k).mul_(ctx.scale), heads))
            _add(dk, block, torch.bmm(ds.transpose(1, 2), q).mul_(ctx.scale))
        found = (x_TND.transpose(0, 1).unsqueeze(0).to(query.dtype) for x_TND in (dq, dk, dv))
        return *found, None, None


def _laid(
    block: _Block, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A block's queries (N, Q, D), keys and values (N, K, D); N counts pieces and key heads.

    Query heads that share a key head stand below each other in one matrix, so keys are never repeated.
    """
    kv_heads, width = key.shape[1], key.shape[3]
    q_TND, k_TND, v_TND = (x[0].transpose(0, 1) for x in (query, key, value))
    reach = block.shared + block.longest
    q = _padded(q_TND, block.own, block.place, block.number, block.longest)
    k, v = (_padded(x, block.seen, block.put, block.number, reach) for x in (k_TND, v_TND))
    size = block.number * kv_heads
    return q.reshape(size, -1, width), k.reshape(size, reach, width), v.reshape(size, reach, width)


def _weights(block: _Block, q: torch.Tensor, k: torch.Tensor, scale: float) -> torch.Tensor:
    """Attention weights of a block, (N, Q, K)."""
    mask = block.mask.to(q.dtype).repeat(q.shape[1] // block.longest, 1)
    return torch.softmax(torch.baddbmm(mask, q, k.transpose(1, 2), alpha=scale), dim=-1)


def _unlaid(block: _Block, found: torch.Tensor, heads: int) -> torch.Tensor:
    """What was computed for the queries of a block, in the order of its tokens; shape (tokens, heads, D)."""
    found = found.view(block.number, heads, block.longest, -1).transpose(1, 2)
    return found.reshape(block.number * block.longest, heads, -1).index_select(0, block.place)


def _add(total: torch.Tensor, block: _Block, found: torch.Tensor) -> None:
    """Add what was computed for the keys of a block, (N, K, D), to a total of shape (T, heads, D)."""
    heads, reach = total.shape[1], found.shape[1]
    rows = found.view(block.number, heads, reach, -1).transpose(1, 2).reshape(block.number * reach, heads, -1)
    rows = rows.index_select(0, block.put).float()
    if block.shared:
        total.index_add_(0, block.seen, rows)
    else:
        # Blocks without a beginning come first, and each of their tokens once.
        total.index_copy_(0, block.seen, rows)


def _padded(x_TND: torch.Tensor, taken: torch.Tensor, put: torch.Tensor, number: int, length: int) -> torch.Tensor:
    """Tokens `taken` of x at the places `put` of `number` matrices of `length` tokens; shape (number, N, length, D)."""
    flat = x_TND.new_zeros(number * length, *x_TND.shape[1:]).index_copy_(0, put, x_TND.index_select(0, taken))
    return flat.view(number, length, *x_TND.shape[1:]).transpose(1, 2)
