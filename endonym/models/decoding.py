"""Rows that grow by a token at a time, without computing anything twice: what every way of generating goes through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from transformers import DynamicCache


class Decoding(Protocol):
    """R rows in growth. A network that keeps something else than keys and values of tokens brings its own by a method `decoding`."""

    logits: torch.Tensor
    """(R, vocabulary), of the next token of each row."""

    def feed(self, tokens: torch.Tensor) -> None:
        """Add one token to each row; shape (R,)."""

    def extend(self, tokens: torch.Tensor) -> None:
        """Add several tokens, shape (T,), to the one row there is, all at once."""

    def choose(self, rows: torch.Tensor) -> None:
        """Go on with `rows` alone, in their order; one may come several times."""


def begin(model: Any, prompts: Sequence[Sequence[int]]) -> Decoding:
    """Compute the prompts once; call inside `torch.inference_mode`."""
    own = getattr(model, "decoding", None)
    decoding: Decoding = own(prompts) if own else _Cached(model, prompts)
    return decoding


class _Cached:
    """Of a network with transformers' cache; shorter prompts are padded in front."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]]):
        self._model, where = model, model.device
        longest = max(len(p) for p in prompts)
        self._mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=where)
        self._positions = (self._mask.cumsum(1) - 1).clamp(min=0)
        self._cache = DynamicCache(config=model.config)
        self._compute(torch.tensor([[0] * (longest - len(p)) + list(p) for p in prompts], device=where))

    def _compute(self, ids: torch.Tensor) -> None:
        self.logits: torch.Tensor = self._model(
            input_ids=ids, attention_mask=self._mask, position_ids=self._positions, past_key_values=self._cache,
            use_cache=True, logits_to_keep=1,
        ).logits[:, -1]  # fmt: skip

    def feed(self, tokens: torch.Tensor) -> None:
        self._grow(tokens[:, None])

    def extend(self, tokens: torch.Tensor) -> None:
        self._grow(tokens[None])

    def _grow(self, ids: torch.Tensor) -> None:
        self._mask = torch.cat([self._mask, torch.ones_like(ids)], dim=1)
        self._positions = self._positions[:, -1:] + 1 + torch.arange(ids.shape[1], device=ids.device)
        self._compute(ids)

    def choose(self, rows: torch.Tensor) -> None:
        self._cache.batch_select_indices(rows)
        self._mask, self._positions, self.logits = self._mask[rows], self._positions[rows], self.logits[rows]
