"""The losses: a sum over learned tokens, so that any way of cutting a batch adds up to the same number."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from endonym.models.generate import decoder
from endonym.train.batches import Packed
from endonym.train.network import computing

CHUNK_BYTES = 24 << 20
"""Logits that exist at the same time on a CPU, in float32."""
CHUNK = 1024
"""Positions whose logits exist at the same time on a GPU."""


def next_token(model: torch.nn.Module, batch: Packed) -> torch.Tensor:
    """Summed cross-entropy in nats over the learned tokens of a pack; a scalar in fp32.

    Logits are computed at learned positions only, a chunk at a time, so that the vocabulary-wide matrix never stands in memory
    whole; those of a plain output layer are turned into gradients at once, and computed but once.
    """
    with computing(model):
        return _next_token(model, batch)


def states(model: torch.nn.Module, batch: Packed) -> torch.Tensor:
    """The states from which the learned tokens of a pack are told, (learned tokens, D)."""
    features = getattr(model, "features", None)
    lower = features.of(batch) if features else None
    known = {} if lower is None else {"lower": lower}
    hidden = decoder(model)(
        input_ids=batch.ids, position_ids=batch.positions, use_cache=False, pieces=batch.pieces, **known
    ).last_hidden_state[0]
    return hidden.index_select(0, batch.predicting)  # type: ignore[no-any-return]


def _next_token(model: torch.nn.Module, batch: Packed) -> torch.Tensor:
    hidden, targets = states(model, batch), batch.targets
    head = model.get_output_embeddings()  # type: ignore[operator]
    if type(head) is torch.nn.Linear and head.bias is None:
        kind = torch.get_autocast_dtype(hidden.device.type)
        kind = kind if torch.is_autocast_enabled(hidden.device.type) else head.weight.dtype
        return _LinearLoss.apply(hidden, head.weight, targets, kind, torch.is_grad_enabled())  # type: ignore[no-any-return]
    return _in_chunks(head, hidden, targets, model.config.get_text_config().vocab_size)  # type: ignore[union-attr, operator]


def _in_chunks(head: Any, hidden: torch.Tensor, targets: torch.Tensor, vocabulary: int) -> torch.Tensor:
    """Summed cross-entropy through an output layer of any kind: the logits of a chunk are computed again on the way back, not kept."""

    def one(part: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(head(part).float(), wanted, reduction="sum")

    size = chunk_size(hidden.device, vocabulary)
    parts = zip(hidden.split(size), targets.split(size), strict=True)
    return torch.stack([checkpoint(one, part, wanted, use_reentrant=False) for part, wanted in parts]).sum()


def chunk_size(device: torch.device, vocabulary: int) -> int:
    """Positions whose logits exist at the same time."""
    return CHUNK if device.type != "cpu" else max(16, CHUNK_BYTES // (4 * vocabulary))


class _LinearLoss(torch.autograd.Function):
    """Summed cross-entropy of h Wᵀ, the gradients computed with it (Hsu and others, Liger Kernel, 2024).

    Shapes: h (N, D), W (V, D), targets (N,). Products are computed in `kind`, the softmax and the sums in float32.
    """

    @staticmethod
    def forward(
        ctx: Any, h: torch.Tensor, w: torch.Tensor, targets: torch.Tensor, kind: torch.dtype, learns: bool
    ) -> torch.Tensor:
        total = torch.zeros((), dtype=torch.float32, device=h.device)
        dh = torch.empty_like(h) if learns and ctx.needs_input_grad[0] else None
        dw = torch.zeros_like(w, dtype=torch.float32) if learns and ctx.needs_input_grad[1] else None
        # Chunks of one size: a small last one takes nearly as long as a whole one.
        size = -(-len(h) // max(1, -(-len(h) // chunk_size(h.device, len(w)))))
        # Two buffers for all chunks: on a CPU, memory that is new costs more time than what is computed in it.
        products = torch.empty(size, len(w), dtype=kind, device=h.device)
        numbers = products if kind == torch.float32 else torch.empty_like(products, dtype=torch.float32)
        with torch.autocast(h.device.type, enabled=False):
            narrow = w.to(kind)
            for start in range(0, len(h), max(1, size)):
                part, wanted = h[start : start + size].to(kind), targets[start : start + size, None]
                product, logits = products[: len(part)], numbers[: len(part)]
                logits.copy_(torch.mm(part, narrow.T, out=product))
                top = logits.amax(dim=1, keepdim=True)
                right = logits.gather(1, wanted) - top
                summed = logits.sub_(top).exp_().sum(dim=1, keepdim=True)
                total += (summed.log() - right).sum()
                if dh is None and dw is None:
                    continue
                logits.div_(summed).scatter_add_(1, wanted, logits.new_full(wanted.shape, -1.0))
                change = product.copy_(logits)
                if dh is not None:
                    dh[start : start + size] = change @ narrow
                if dw is not None:
                    dw += change.T @ part
        ctx.save_for_backward(dh, dw)
        ctx.kind = w.dtype
        return total

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        dh, dw = ctx.saved_tensors
        return (
            None if dh is None else dh * grads[0].to(dh.dtype),
            None if dw is None else (dw * grads[0]).to(ctx.kind),
            None, None, None,
        )  # fmt: skip
