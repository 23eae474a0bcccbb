"""Attention of rows of like lengths at once, padded to the longest: for short rows on a CPU several times faster than row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from endonym.models.nets.dropout import Coins

Places = npt.NDArray[np.int64]

SHORT = 320
"""Longest row, in tokens, for which this is faster."""

REACH = 32
"""Keys of a product are filled up to a multiple of this many: the softmax of other lengths takes nearly twice as long."""

PREPARED = (16, 4)
"""In 16 bits queries of a product are filled up to a multiple of the first, and pieces to one of the second: to prepare a product of
sizes that were not met before takes longer than many a product itself."""


@dataclass(frozen=True)
class Piece:
    """Tokens `start .. end - 1` of a pack: a row, what follows a beginning that rows share, or such a beginning itself."""

    start: int
    end: int
    before: range = range(0)
    """Where in the pack the tokens stand that come before it in its row."""
    domain: int = -1
    """As that of its example."""

    @property
    def keys(self) -> list[int]:
        """Every token of its row up to its end."""
        return [*self.before, *range(self.start, self.end)]


@dataclass(frozen=True)
class Block:
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
class Plan:
    """How the heads of a pack's tokens are laid out for products, and found again. A head of a token is row `token * heads + head`."""

    blocks: list[Block]
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


def plan(pieces: Sequence[Piece], heads: int, kv_heads: int, kind: torch.dtype) -> Plan:
    """Pieces with beginnings of one length, none less than half as long as another, make a block; every layer asks for the same.

    What is padded is computed as well: without the halving, one long row would make every short one as long.
    """
    # Counted with NumPy: a forecast of memory runs this where tensors have no values.
    blocks: list[Block] = []
    tokens = max(p.end for p in pieces)
    found, own = (np.empty(tokens * n, dtype=np.int64) for n in (heads, kv_heads))
    queries, keys, idle, again, again_of = ([np.empty(0, dtype=np.int64)] for _ in range(5))
    laid_queries = laid_keys = 0
    lines, together = (1, 1) if kind == torch.float32 else PREPARED
    for alike, shared in _alike(pieces):
        longest = -(-(alike[0].end - alike[0].start) // lines) * lines
        reach = -(-(shared + longest) // REACH) * REACH
        # Pieces that come again fill the block up; nothing is read of them.
        filled = [*alike, *alike[-1:] * (-len(alike) % together)]
        starts, lengths, before = np.array([(p.start, p.end - p.start, p.before.start) for p in filled]).T[:, :, None]
        at = np.arange(reach) - shared
        # Padding repeats a piece's last token behind it, where causal attention never looks.
        token = np.where(at < 0, before + at + shared, starts + at.clip(0, lengths - 1))
        mine = ((at >= 0) & (at < lengths) & (np.arange(len(filled))[:, None] < len(alike)))[:, None]
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
        blocks.append(Block(*here, len(filled) * kv_heads, group * longest, reach, mask))
        laid_queries, laid_keys = here[0].stop, here[1].stop
    lists = (torch.tensor(np.concatenate(x)) for x in (queries, keys, idle))
    places = (torch.tensor(x) for x in (found, own, np.concatenate(again), np.concatenate(again_of)))
    return Plan(blocks, *lists, *places)


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


class Together(torch.autograd.Function):
    """Attention of pieces as they are planned, with a share of the weights dropped. Shapes: query (1, H, T, D), key and value
    (1, H or fewer, T, D); returns (1, T, H, D).

    Only what comes in and out is kept for the way back: padded matrices and weights have other sizes in every pack, and would both
    hold and scatter memory. Which weights are dropped is found again from a seed.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        plan: Plan,
        scale: float,
        dropout: float = 0.0,
    ) -> torch.Tensor:
        q, k, v = _laid(plan, query, key, value)
        found = torch.empty_like(q)
        coins = Coins(dropout) if dropout else None
        for block in plan.blocks:
            p = _weights(block, q, k, scale)
            torch.bmm(coins.drop(p) if coins else p, block.of_keys(v), out=block.of_queries(found))
        out = found.index_select(0, plan.found).view(query.shape[2], query.shape[1], -1)
        ctx.save_for_backward(query, key, value, out)
        ctx.plan, ctx.scale, ctx.coins = plan, scale, coins
        return out.unsqueeze(0)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, out = ctx.saved_tensors
        plan: Plan = ctx.plan
        coins: Coins | None = ctx.coins.again() if ctx.coins else None
        q, k, v = _laid(plan, query, key, value)
        d_out = grads[0][0]
        d_found = d_out.reshape(-1, q.shape[1]).index_select(0, plan.queries).index_fill_(0, plan.idle, 0)
        along = (d_out * out).sum(-1).view(-1).index_select(0, plan.queries).index_fill_(0, plan.idle, 0)
        dq, dk, dv = (torch.empty_like(x) for x in (q, k, v))
        for block in plan.blocks:
            p, d = _weights(block, q, k, ctx.scale), block.of_queries(d_found)
            values, sums = block.of_keys(v).transpose(1, 2), block.of_queries(along)
            if coins:
                stays = coins.toss(p)
                ds = torch.bmm(d, values).mul_(stays).sub_(sums).mul_(p)
                p = stays.mul_(p)
            else:
                ds = torch.baddbmm(sums, d, values, beta=-1).mul_(p)
            torch.bmm(p.transpose(1, 2), d, out=block.of_keys(dv))
            torch.bmm(ds, block.of_keys(k), out=block.of_queries(dq))
            torch.bmm(ds.transpose(1, 2), block.of_queries(q), out=block.of_keys(dk))
        back = dq.index_select(0, plan.found).mul_(ctx.scale), _summed(plan, dk).mul_(ctx.scale), _summed(plan, dv)
        return *(x.view(len(out), -1, q.shape[1]).transpose(0, 1).unsqueeze(0) for x in back), None, None, None


def _laid(
    plan: Plan, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries, keys and values of a pack as its plan lays them out; shape (rows, D)."""
    heads = (x.transpose(1, 2).reshape(-1, x.shape[3]) for x in (query, key, value))
    q, k, v = (x.index_select(0, rows) for x, rows in zip(heads, (plan.queries, plan.keys, plan.keys), strict=True))
    return q, k, v


def _weights(block: Block, q: torch.Tensor, k: torch.Tensor, scale: float) -> torch.Tensor:
    """Attention weights of a block, (matrices, rows, reach)."""
    keys = block.of_keys(k).transpose(1, 2)
    return torch.softmax(torch.baddbmm(block.mask, block.of_queries(q), keys, alpha=scale), dim=-1)


def _summed(plan: Plan, laid: torch.Tensor) -> torch.Tensor:
    """What was computed for the keys of a layout, (rows, D), by key head: one in a beginning that rows share is seen by them all,
    and their gradients are summed in float32."""
    found = laid.index_select(0, plan.own)
    if len(plan.again):
        shared = laid.index_select(0, plan.again).float()
        found = found.float().index_add_(0, plan.again_of, shared).to(laid.dtype)
    return found
