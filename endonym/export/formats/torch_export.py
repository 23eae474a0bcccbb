"""One graph as PyTorch's own exporter writes it (`.pt2`), for PyTorch without the model's code, AOTInductor and ExecuTorch."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from endonym.export.card import write_card
from endonym.export.parity import Tolerance
from endonym.export.source import Source

RUNTIME = "torch_export"
REQUIRES = {"torch": "train"}


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def export(model: Source, cfg: Config, out: Path) -> Path:
    """Write the graph with its weights in float32, config, tokenizer and model card."""
    import torch

    from endonym.export.trace import trace
    from endonym.models.graph import TRACED

    torch.export.save(trace(model), out / TRACED)
    model.save_config(out, dtype="float32", tie_word_embeddings=model.is_tied())
    model.save_tokenizer(out)
    write_card(model, out, "pytorch", USE)
    return out


def tolerance(cfg: Config) -> Tolerance:
    """float32 differs in the last digits only."""
    return Tolerance(near_tie=1e-3, bits_per_byte=1e-4, logit_gap=1e-2)


USE = """```python
import torch

model = torch.export.load("FOLDER/model.pt2").module()
# (token ids, mask, positions, [keys and values of each layer]) -> logits, [keys and values]
# of a model over bytes: (one row of token ids) -> logits
```
"""
