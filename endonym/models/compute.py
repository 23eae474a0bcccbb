"""How much compute a training run takes, and took: the measure by which ways of training are compared fairly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from endonym.models.bases import base_of
from endonym.models.packed import num_weights


def flops_per_token(model: Any) -> float:
    """Floating point operations of one trained token: six a weight that multiplies it; attention's own products are left out.

    Of a bank of modules only those count that take part in a token.

    Rows of tokens and of positions are only looked up; the output layer multiplies, whether it is tied to them or not
    (Kaplan and others, Scaling Laws for Neural Language Models, 2020). A network whose weights do not all see every token says
    itself what one takes.
    """
    own = getattr(model, "flops_per_token", None)
    if own is not None:
        return float(own())
    looked_up = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    looked_up.discard(id(model.get_output_embeddings().weight))
    idle = model.bank.idle_weights if hasattr(model, "bank") else 0
    return 6.0 * (sum(number for weight, number in num_weights(model).items() if weight not in looked_up) - idle)


def known_flops(run: Path) -> float | None:
    """Compute that made the model of a training run, its base's included; None where a part of it is not known."""
    try:
        about = json.loads((run / "model.json").read_text(encoding="utf-8"))
    except OSError:
        return None
    own: float | None = about.get("flops")
    if own is None or about["recipe"] == "scratch" or about.get("base_name") == "":
        return own
    earlier = known_flops(base_of(run).parent)
    return None if earlier is None else own + earlier
