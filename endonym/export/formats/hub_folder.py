"""A folder as model hubs want it: weights, tokenizer, model card, scores with intervals, and the rights of the data. `endonym push` uploads it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym.export.formats import adapter, merged
from endonym.export.parity import Tolerance
from endonym.export.source import Source
from endonym.store.files import write_json

RUNTIME = "transformers"


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: Literal["merged", "adapter"] = Field(
        "merged", description="The whole model, or the adapter alone for those who have the base."
    )
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="Number format of merged weights.")


def export(model: Source, cfg: Config, out: Path) -> Path:
    """Write the weights with their card, `scores.json` when the model was evaluated, and `sources.json` with the rights of each."""
    if cfg.weights == "adapter":
        adapter.export(model, adapter.Config(), out)
    else:
        merged.export(model, merged.Config(dtype=cfg.dtype), out)
    if model.scores:
        write_json(
            out / "scores.json", {key: model.scores[key] for key in ("rows", "data_hash") if key in model.scores}
        )
    write_json(out / "sources.json", {"licences": model.data_licences, "sources": model.materials})
    return out


def tolerance(cfg: Config) -> Tolerance:
    """What the weights' own format allows."""
    if cfg.weights == "adapter":
        return Tolerance(1e-3, 1e-3)
    return merged.tolerance(merged.Config(dtype=cfg.dtype))
