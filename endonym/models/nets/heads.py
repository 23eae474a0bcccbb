"""A head on a decoder of any family: classes of texts, tags of words, answers found in a text, or vectors for search.

B rows of S tokens, D width, N outputs. The decoder is the whole network for next tokens, whose output layer is not used: the foundation can
be taken out of a model with a head as it went in.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from endonym.models.compute import flops_per_token
from endonym.models.generate import decoder
from endonym.models.load import HEADS, OURS
from endonym.models.nets.banked import PREFIX, classes, write_down
from endonym.models.packed import num_weights

Kind = Literal["classify", "tag", "answer", "embed"]
WHOLE = ("classify", "embed")
"""Kinds that say one thing of a text; the others say something of each token."""


class HeadConfig(PreTrainedConfig):
    """What the head is for, and the settings of the network it stands on."""

    model_type = HEADS

    def __init__(
        self,
        kind: Kind = "classify",
        outputs: Sequence[str] = (),
        width: int = 0,
        pooling: Literal["last", "mean"] = "last",
        echo: bool = False,
        foundation: dict[str, Any] | None = None,
        **other: Any,
    ):
        """`outputs` are the names of classes or tags, `width` that of vectors. With `echo` a text is read twice before it is judged."""
        self.kind, self.outputs, self.width, self.pooling, self.echo = kind, list(outputs), width, pooling, echo
        self.foundation = foundation or {}
        super().__init__(**other)

    @property
    def num_outputs(self) -> int:
        """Numbers the head gives: for each class or tag, for beginning and end of an answer, or of a vector."""
        return {"answer": 2, "embed": self.width}.get(self.kind, len(self.outputs))


class HeadModel(PreTrainedModel):
    """A decoder with a linear head on its last hidden states, which is computed in float32."""

    config_class = HeadConfig
    base_model_prefix = "foundation"
    _supports_sdpa = True
    _supports_attention_backend = True
    supports_gradient_checkpointing = True

    def __init__(self, config: HeadConfig, foundation: Any = None):
        """A new head on `foundation`, a network that is there already, or on one built after its settings."""
        super().__init__(config)
        if foundation is None:
            known(config.foundation["model_type"])
            settings = AutoConfig.for_model(**config.foundation)
            foundation = AutoModelForCausalLM.from_config(settings, attn_implementation="sdpa")
        output = foundation.get_output_embeddings().weight
        self.foundation: Any = foundation
        self.head = torch.nn.Linear(
            output.shape[1], config.num_outputs, bias=config.kind != "embed", device=output.device
        )
        self.post_init()

    def init_weights(self) -> None:
        """Tie what is tied, and draw nothing anew: the parts come with their numbers."""
        self.tie_weights(recompute_mapping=False)

    def get_base_model(self) -> Any:
        """The network the head stands on: attention, decoder and layers are its own."""
        return self.foundation

    def get_input_embeddings(self) -> Any:
        return self.foundation.get_input_embeddings()

    def get_output_embeddings(self) -> Any:
        return self.foundation.get_output_embeddings()

    def save_pretrained(self, *args: Any, **more: Any) -> Any:
        """As of every model; a bank of modules writes down first what it has become."""
        if hasattr(self.foundation, "bank"):
            write_down(self.foundation)
        self.config.foundation = settings_of(self.foundation)
        return super().save_pretrained(*args, **more)

    def flops_per_token(self) -> float:
        """Operations of one trained token, without those of the output layer that is not used; see `models.compute`."""
        output = self.get_output_embeddings().weight
        whole = flops_per_token(self.foundation)
        return whole - 6.0 * num_weights(self.foundation).get(id(output), 0) + 6.0 * self.head.weight.numel()

    def scores(self, hidden: torch.Tensor) -> torch.Tensor:
        """Outputs (..., N) of hidden states (..., D) in float32; vectors have length 1."""
        with torch.autocast(hidden.device.type, enabled=False):
            made = self.head(hidden.float())
            return torch.nn.functional.normalize(made, dim=-1) if self.config.kind == "embed" else made

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **unused: Any
    ) -> SequenceClassifierOutput:
        """Logits (B, N) of texts, or (B, S, N) of their tokens, for `input_ids` (B, S) padded at the end."""
        hidden_BSD = decoder(self)(
            input_ids=input_ids, attention_mask=attention_mask, use_cache=False
        ).last_hidden_state
        mask_BS = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        return SequenceClassifierOutput(logits=self.said(hidden_BSD, mask_BS))

    def said(self, hidden_BSD: torch.Tensor, mask_BS: torch.Tensor) -> torch.Tensor:
        """Logits of hidden states, padded at the end; see `forward`."""
        if self.config.kind not in WHOLE:
            return self.scores(hidden_BSD)
        if self.config.pooling == "mean":
            weights = mask_BS.to(hidden_BSD.dtype)[..., None]
            pooled = (hidden_BSD * weights).sum(1) / weights.sum(1)
        else:
            last = (mask_BS.sum(1) - 1)[:, None, None].expand(-1, 1, hidden_BSD.shape[2])
            pooled = hidden_BSD.gather(1, last)[:, 0]
        return self.scores(pooled)


def settings_of(network: Any) -> dict[str, Any]:
    """The settings of a network, from which it can be built anew."""
    settings = dict(network.config.to_dict())
    settings.pop("_name_or_path", None)
    return settings


def known(model_type: str) -> None:
    """Make the family of a foundation known to transformers, where it is one of our own."""
    if model_type.startswith(PREFIX):
        classes(model_type.removeprefix(PREFIX))
    elif model_type.startswith(OURS):
        importlib.import_module(f"endonym.models.nets.{model_type.removeprefix(OURS)}")


AutoConfig.register(HeadConfig.model_type, HeadConfig)
AutoModel.register(HeadConfig, HeadModel)
