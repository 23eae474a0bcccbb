"""Serve an ONNX export with onnxruntime: what was certified is what answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from endonym.serve.backends.transformers import TransformersEngine

REQUIRES = {"onnxruntime": "onnx", "torch": "train", "transformers": "train"}
EXPORT = ("onnx", "model.onnx")
"""The export format it serves, and which file of it."""


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    threads: int = Field(0, ge=0, description="Processor threads; 0 for all.")


def load(model: Path, cfg: Config) -> TransformersEngine:
    """Load an export's folder. Raises MissingError where no graph lies in it."""
    from endonym.models.graph import load_graph
    from endonym.serve.backends.transformers import TransformersEngine

    return TransformersEngine(load_graph(model, cfg.threads), model.name)
