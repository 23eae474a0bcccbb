"""How much memory a training run will need, told before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from endonym.errors import JobError

RUNTIME_BYTES = 600_000_000
"""What Python, PyTorch and transformers occupy before any weight is loaded (measured on Linux, CPU build)."""


@dataclass(frozen=True)
class Estimate:
    """Bytes by what they are for."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    runtime: int = RUNTIME_BYTES

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits + self.runtime

    def __str__(self) -> str:
        parts = ("weights", "gradients", "optimizer", "activations", "logits")
        listed = ", ".join(f"{name} {getattr(self, name) / 1e9:.2f}" for name in parts)
        return f"{self.total / 1e9:.1f} GB ({listed})"


def estimate(model: torch.nn.Module, batch_tokens: int, row_tokens: int, learned_tokens: int) -> Estimate:
    """Estimate the peak of a training step with AdamW on packs of `batch_tokens` tokens in rows of about `row_tokens`.

    Activations are what one decoder layer keeps for its backward pass, times the layers: inputs of norms and of the linear
    layers (7 of hidden width, 4 of the wide inner width, in the Llama family), and the attention weights of short rows. Logits
    count three times in fp32: values, softmax and gradient.
    """
    settings: Any = model.config  # type: ignore[attr-defined]
    size = next(model.parameters()).element_size()
    trained = [p for p in model.parameters() if p.requires_grad]
    # GPT-2 says nothing of an inner width of four times the width.
    inner = (
        getattr(settings, "intermediate_size", None) or getattr(settings, "n_inner", None) or 4 * settings.hidden_size
    )
    per_token = settings.num_hidden_layers * (
        7 * settings.hidden_size + 4 * inner + 2 * settings.num_attention_heads * row_tokens
    )
    return Estimate(
        weights=sum(p.numel() * p.element_size() for p in model.parameters()),
        gradients=sum(p.numel() * p.element_size() for p in trained),
        optimizer=sum(p.numel() * 2 * 4 for p in trained),
        activations=batch_tokens * per_token * size,
        logits=3 * min(learned_tokens, 1024) * settings.vocab_size * 4,
    )


def available_bytes() -> int | None:
    """Memory that can still be used on the device a model would be trained on; None where it cannot be told."""
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            values = dict(line.split(":", 1) for line in file)
        return int(values["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def refuse_if_too_large(needed: Estimate, loaded_bytes: int) -> None:
    """Raise JobError when the estimate, less what is already loaded, is more than the memory that is left."""
    free = available_bytes()
    if free is not None and needed.total - loaded_bytes > free:
        raise JobError(
            f"training would need about {needed}, and {free / 1e9:.1f} GB are free",
            "Use a smaller --batch-tokens (the result stays the same), a smaller --rank, or close other programs.",
        )
