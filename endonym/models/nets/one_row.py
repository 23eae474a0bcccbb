"""One row of bytes without shapes that depend on what stands in it, as a graph must be: there are as many chunks as bytes, most unused.

What is used is computed as `compute` of the networks does; what is not stands behind it, where causal attention never looks.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from endonym.models.nets.bytelatent import ByteLatent
from endonym.models.nets.chunks import smoothed
from endonym.models.nets.hierarchical import Hierarchical
from endonym.models.nets.ngrams import history


class OneRow:
    """Places of the tokens of one row (`rows.Places`)."""

    def __init__(self, num_tokens: int, device: torch.device):
        self.positions = torch.arange(num_tokens, device=device)

    def attend(
        self, block: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, window: int, dropout: float
    ) -> torch.Tensor:
        apart = self.positions[:, None] - self.positions
        mask = (apart >= 0) & (apart < window) if window else apart >= 0
        q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
        return scaled_dot_product_attention(q, k, v, mask)[0].transpose(0, 1)


def states(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Last hidden states (T, D) of a network over bytes, `ids` (T,)."""
    net, row = model.model, OneRow(ids.shape[0], ids.device)
    recent = history(ids, row.positions, net.back)
    return (_hierarchical if isinstance(net, Hierarchical) else _latent)(net, ids, recent, row)


def _hierarchical(net: Hierarchical, ids: torch.Tensor, recent: torch.Tensor, row: OneRow) -> torch.Tensor:
    x, _ = net.outer_before(ids, row, recent)
    if not net.cuts:
        return net.norm(x)
    begins, p = net.begin(x, torch.cat([x[:1], x[:-1]]), recent, row.positions)
    chunk = begins.cumsum(0) - 1
    # Where each chunk begins; what begins none goes to a place that is left out.
    starts = torch.zeros_like(torch.cat([ids, ids[:1]])).scatter(
        0, torch.where(begins, chunk, row.positions.shape[0]), row.positions
    )[:-1]
    z = net.inner(x[starts], row)
    if p is not None:
        z = smoothed(z, p[starts], torch.zeros_like(starts), row.positions, (1, ids.shape[0]))
    return net.outer_after(x, z[chunk], row)


def _latent(net: ByteLatent, ids: torch.Tensor, recent: torch.Tensor, row: OneRow) -> torch.Tensor:
    h = net.encode(recent, row)
    ends = net.ends(ids, recent, row.positions, row).long()
    ended = ends.cumsum(0)
    made = net.think(net.patches(h, ended - ends, ids.shape[0] + 1)[:-1], row)
    return net.decode(h, made, ended - 1, row)
