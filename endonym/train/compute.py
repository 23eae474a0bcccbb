"""How much compute a training run takes, and took: the measure by which ways of training are compared fairly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def counted_parameters(model: Any) -> int:
    """Parameters that multiply every token: all but the embeddings, and the output layer whether it is tied or not."""
    head = model.get_output_embeddings().weight
    looked_up = [m.weight for m in model.modules() if type(m).__name__ == "Embedding" and m.weight is not head]
    return sum(p.numel() for p in model.parameters()) - sum(w.numel() for w in looked_up)


def training_flops(model: Any, tokens: float) -> float:
    """6 N T (Kaplan and others, Scaling Laws for Neural Language Models, 2020); attention's own products are left out."""
    return 6.0 * counted_parameters(model) * tokens


def known_flops(run: Path) -> float | None:
    """Compute that made the model of a training run, its base's included; None where a part of it is not known."""
    try:
        about = json.loads((run / "model.json").read_text(encoding="utf-8"))
    except OSError:
        return None
    own: float | None = about.get("flops")
    if own is None or about["recipe"] == "scratch":
        return own
    earlier = known_flops(Path(about["base"]).parent)
    return None if earlier is None else own + earlier
