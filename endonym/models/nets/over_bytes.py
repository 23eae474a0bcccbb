"""What every network over bytes answers transformers, whatever is between its bytes and its hidden states."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers.modeling_outputs import CausalLMOutput

TABLES = re.compile(r"\.grams\.|encoder_hash_tok_embedding")


class OverBytes:
    """Logits and loss of a network with `model` inside and an output layer; V ids, B rows of S bytes."""

    over_bytes = True
    model: Any
    get_output_embeddings: Any
    named_parameters: Any
    rows: Any

    def tables(self) -> list[str]:
        """Names of the weights that are embeddings of n-grams."""
        return [name for name, _ in self.named_parameters() if TABLES.search(name)]

    def get_decoder(self) -> Any:
        return self.model

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        logits_to_keep: int = 0,
        **other: Any,
    ) -> CausalLMOutput:
        """Logits (B, S, V), of the last `logits_to_keep` places alone if that is not 0; with `labels` (B, S) the mean loss as well."""
        hidden = self.model(input_ids, attention_mask, **other).last_hidden_state
        logits = self.get_output_embeddings()(hidden[:, -logits_to_keep:] if logits_to_keep else hidden)
        loss = None
        if labels is not None:
            loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
        return CausalLMOutput(loss=loss, logits=logits)

    def prepare_inputs_for_generation(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **unused: Any
    ) -> dict[str, Any]:
        """All bytes again: transformers' own `generate` knows no memory for this network, `decoding` does."""
        return {"input_ids": input_ids, "attention_mask": attention_mask}

    def decoding(self, prompts: Sequence[Sequence[int]]) -> Any:
        """What follows `prompts`, a byte at a time, without computing anything twice."""
        rows = self.rows()
        rows.read(prompts)
        return rows

    def restored(self, state: Mapping[str, torch.Tensor]) -> Any:
        """The row whose `state` was kept."""
        rows = self.rows()
        rows.restore(state)
        return rows
