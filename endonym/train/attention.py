"""Attention inside the rows of a pack, exactly and without any mask over the pack; a beginning that rows share is computed once."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from endonym.errors import ConfigError
from endonym.models.load import FAMILIES
from endonym.train.batches import SHORT, Piece

Places = npt.NDArray[np.int64]

ATTENTION = "endonym_packed"
"""Name under which the packed attention is registered with transformers."""

REACH = 32
"""Keys of a product on a CPU are filled up to a multiple of this many: the softmax of other lengths takes nearly twice as long."""


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
            FAMILIES,
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
    """Pieces that are attended to in one product, a matrix for each piece and key head. Query heads that share a key head stand
    below each other in it, so keys are never repeated."""

    queries: slice
    """Its rows among all queries of the pack as they are laid out."""
    keys: slice
    """Its rows among all keys and values."""
    matrices: int
    rows: int
    """Queries in a matrix, over `reach` keys."""
    reach: int
    mask: torch.Tensor
    """What a query may not see, as -inf; shape (rows, reach)."""

    def of_queries(self, laid: torch.Tensor) -> torch.Tensor:
        return laid[self.queries].view(self.matrices, self.rows, -1)

    def of_keys(self, laid: torch.Tensor) -> torch.Tensor:
        return laid[self.keys].view(self.matrices, self.reach, -1)


@dataclass(frozen=True)
class _Plan:
    """How the heads of a pack's tokens are laid out for products, and found again. A head of a token is row `token * heads + head`."""

    blocks: list[_Block]
    queries: torch.Tensor
    """The head that stands in each row of the layout; shape (queries laid out,)."""
    keys: torch.Tensor
    """The same for keys and values; shape (keys laid out,)."""
    idle: torch.Tensor
    """The rows that only fill the queries of a piece up to the longest of its block."""
    found: torch.Tensor
    """In which row each query head stands; shape (T * H,)."""
    own: torch.Tensor
    """In which row each key head stands as one of its own piece."""
    again: torch.Tensor
    """The rows in which key heads stand as ones of a beginning that rows share,"""
    again_of: torch.Tensor
    """and which heads these are."""


@lru_cache(maxsize=1)
def _plan(pieces: tuple[Piece, ...], heads: int, kv_heads: int, kind: torch.dtype) -> _Plan:
    """Pieces with beginnings of one length, none less than half as long as another, make a block; every layer asks for the same.

    The plan of one pack alone is kept: what outlives a pack lies scattered in the memory that the next one wants in one piece.

    What is padded is computed as well: without the halving, one long row would make every short one as long.
    """
    # Counted with NumPy: a forecast of memory runs this where tensors have no values.
    blocks: list[_Block] = []
    tokens = max(p.end for p in pieces)
    found, own = (np.empty(tokens * n, dtype=np.int64) for n in (heads, kv_heads))
    queries, keys, idle, again, again_of = ([np.empty(0, dtype=np.int64)] for _ in range(5))
    laid_queries = laid_keys = 0
    for alike, shared in _alike(pieces):
        longest = alike[0].end - alike[0].start
        reach = -(-(shared + longest) // REACH) * REACH
        starts, lengths, before = np.array([(p.start, p.end - p.start, p.before.start) for p in alike]).T[:, :, None]
        at = np.arange(reach) - shared
        # Padding repeats a piece's last token behind it, where causal attention never looks.
        token = np.where(at < 0, before + at + shared, starts + at.clip(0, lengths - 1))
        mine = ((at >= 0) & (at < lengths))[:, None]
        head_q, place_q = _rows(token[:, shared : shared + longest], heads, laid_queries)
        head_k, place_k = _rows(token, kv_heads, laid_keys)
        real = np.broadcast_to(mine[:, :, shared : shared + longest], head_q.shape)
        found[head_q[real]] = place_q[real]
        idle.append(place_q[~real])
        real = np.broadcast_to(mine, head_k.shape)
        own[head_k[real]] = place_k[real]
        again.append(place_k[:, :, :shared].ravel())
        again_of.append(head_k[:, :, :shared].ravel())
        queries.append(head_q.ravel())
        keys.append(head_k.ravel())
        group = heads // kv_heads
        mask = torch.full((longest, reach), float("-inf")).triu_(1 + shared).repeat(group, 1).to(kind)
        here = slice(laid_queries, laid_queries + head_q.size), slice(laid_keys, laid_keys + head_k.size)
        blocks.append(_Block(*here, len(alike) * kv_heads, group * longest, reach, mask))
        laid_queries, laid_keys = here[0].stop, here[1].stop
    lists = (torch.tensor(np.concatenate(x)) for x in (queries, keys, idle))
    places = (torch.tensor(x) for x in (found, own, np.concatenate(again), np.concatenate(again_of)))
    return _Plan(blocks, *lists, *places)


def _alike(pieces: Sequence[Piece]) -> Iterator[tuple[list[Piece], int]]:
    """The pieces that make a block each, longest first, and the length of what stands before them."""
    for shared in sorted({len(p.before) for p in pieces}):
        left = sorted((p for p in pieces if len(p.before) == shared), key=lambda p: p.start - p.end)
        while left:
            longest = left[0].end - left[0].start
            alike = [p for p in left if 2 * (p.end - p.start) > longest or longest <= REACH]
            left = left[len(alike) :]
            yield alike, shared


def _rows(token: Places, heads: int, first: int) -> tuple[Places, Places]:
    """The heads of tokens (N, L) in the order (N, heads, L), and the rows of a layout, from `first` on, in which they stand."""
    head = token[:, None] * heads + np.arange(heads)[:, None]
    return head, first + np.arange(head.size).reshape(head.shape)


def forget() -> None:
    """Drop what is kept about the packs seen so far."""
    for kept in (_plan, _runs):
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
    """Attention of pieces of like lengths at once, padded to the longest: for short rows on a CPU several times faster than row by row.

    Only what comes in and out is kept for the way back: padded matrices and weights have other sizes in every pack, and would both
    hold and scatter memory.
    """

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, pieces: tuple[Piece, ...], scale: float
    ) -> torch.Tensor:
        plan = _plan(pieces, query.shape[1], key.shape[1], query.dtype)
        q, k, v = _laid(plan, query, key, value)
        found = torch.empty_like(q)
        for block in plan.blocks:
            torch.bmm(_weights(block, q, k, scale), block.of_keys(v), out=block.of_queries(found))
        out = found.index_select(0, plan.found).view(query.shape[2], query.shape[1], -1)
        ctx.save_for_backward(query, key, value, out)
        ctx.plan, ctx.scale = plan, scale
        return out.unsqueeze(0)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, out = ctx.saved_tensors
        plan: _Plan = ctx.plan
        q, k, v = _laid(plan, query, key, value)
        d_out = grads[0][0]
        d_found = d_out.reshape(-1, q.shape[1]).index_select(0, plan.queries).index_fill_(0, plan.idle, 0)
        along = (d_out * out).sum(-1).view(-1).index_select(0, plan.queries).index_fill_(0, plan.idle, 0)
        dq, dk, dv = (torch.empty_like(x) for x in (q, k, v))
        for block in plan.blocks:
            p, d = _weights(block, q, k, ctx.scale), block.of_queries(d_found)
            torch.bmm(p.transpose(1, 2), d, out=block.of_keys(dv))
            ds = torch.baddbmm(block.of_queries(along), d, block.of_keys(v).transpose(1, 2), beta=-1).mul_(p)
            torch.bmm(ds, block.of_keys(k), out=block.of_queries(dq))
            torch.bmm(ds.transpose(1, 2), block.of_queries(q), out=block.of_keys(dk))
        back = dq.index_select(0, plan.found).mul_(ctx.scale), _summed(plan, dk).mul_(ctx.scale), _summed(plan, dv)
        return *(x.view(len(out), -1, q.shape[1]).transpose(0, 1).unsqueeze(0) for x in back), None, None


def _laid(
    plan: _Plan, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries, keys and values of a pack as its plan lays them out; shape (rows, D)."""
    heads = (x.transpose(1, 2).reshape(-1, x.shape[3]) for x in (query, key, value))
    q, k, v = (x.index_select(0, rows) for x, rows in zip(heads, (plan.queries, plan.keys, plan.keys), strict=True))
    return q, k, v


def _weights(block: _Block, q: torch.Tensor, k: torch.Tensor, scale: float) -> torch.Tensor:
    """Attention weights of a block, (matrices, rows, reach)."""
    keys = block.of_keys(k).transpose(1, 2)
    return torch.softmax(torch.baddbmm(block.mask, block.of_queries(q), keys, alpha=scale), dim=-1)


def _summed(plan: _Plan, laid: torch.Tensor) -> torch.Tensor:
    """What was computed for the keys of a layout, (rows, D), by key head: one in a beginning that rows share is seen by them all,
    and their gradients are summed in float32."""
    found = laid.index_select(0, plan.own)
    if len(plan.again):
        shared = laid.index_select(0, plan.again).float()
        found = found.float().index_add_(0, plan.again_of, shared).to(laid.dtype)
    return found
