"""Attention inside the rows of a pack, exactly and without any mask over the pack; a beginning that rows share is computed once."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

import torch

from endonym.errors import ConfigError
from endonym.models.load import FAMILIES
from endonym.models.nets.together import SHORT, Piece, Plan, Together, plan

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
            FAMILIES,
        )
    # Over float32 weights in bf16 arithmetic, positions are turned in float32 and the values are not.
    query, key = query.to(value.dtype), key.to(value.dtype)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    longest = max(len(p.before) + p.end - p.start for p in pieces)
    window = sliding_window if sliding_window is not None and sliding_window < longest else None
    if query.device.type == "cpu" and longest <= SHORT and window is None:
        planned = _plan(tuple(pieces), query.shape[1], key.shape[1], query.dtype)
        return Together.apply(query, key, value, planned, scale, dropout), None
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


@lru_cache(maxsize=1)
def _plan(pieces: tuple[Piece, ...], heads: int, kv_heads: int, kind: torch.dtype) -> Plan:
    """The plan of one pack alone is kept: what outlives a pack lies scattered in the memory that the next one wants in one piece."""
    return plan(pieces, heads, kv_heads, kind)


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
