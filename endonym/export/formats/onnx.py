"""One ONNX graph with key-value cache, for onnxruntime and what is built on it: browsers, phones, C#, Java."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym.export.card import write_card
from endonym.export.parity import Tolerance
from endonym.export.source import Source

RUNTIME = "onnx"
REQUIRES = {"onnxruntime": "onnx", "onnxscript": "onnx"}
LARGEST = 1_900_000_000
"""Bytes of weights that one file may hold: protobuf ends at 2 GiB."""


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["f32", "int8"] = Field(
        "f32",
        description="Number format of the matrices: f32 answers as trained; int8 is about a quarter as large, and rounds.",
    )


def export(model: Source, cfg: Config, out: Path) -> Path:
    """Write the graph, config, tokenizer and model card; weights beyond 1.9 GB lie in a file beside the graph."""
    import torch

    from endonym.export.trace import trace
    from endonym.models.graph import ONNX, input_names, output_names

    program = trace(model)
    num_layers = (len(program.graph_signature.user_outputs) - 1) // 2
    graph = torch.onnx.export(
        program,
        (),
        input_names=input_names(num_layers),
        output_names=output_names(num_layers),
        dynamo=True,
        verbose=False,
    )
    assert graph is not None
    weights = sum(one.numel() * one.element_size() for one in program.state_dict.values())
    graph.save(out / ONNX, external_data=weights > LARGEST)
    if cfg.type == "int8":
        _round(out / ONNX)
    model.save_config(out, dtype="float32", tie_word_embeddings=model.is_tied())
    model.save_tokenizer(out)
    write_card(model, out, "onnx", USE)
    return out


def _round(path: Path) -> None:
    """Matrices in 8 bits, a scale for each row; what is multiplied with them is rounded as it comes (dynamic quantisation)."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    whole = path.rename(path.with_name("whole.onnx"))
    quantize_dynamic(whole, path, weight_type=QuantType.QInt8, per_channel=True)
    for one in path.parent.glob("whole.onnx*"):
        one.unlink()


def tolerance(cfg: Config) -> Tolerance:
    """float32 differs in the last digits only; eight bits for weights and for what is multiplied with them change more."""
    if cfg.type == "f32":
        return Tolerance(near_tie=1e-3, bits_per_byte=1e-4, logit_gap=1e-2)
    return Tolerance(near_tie=1.0, bits_per_byte=0.5, agreement=0.6)


USE = """```python
import onnxruntime

session = onnxruntime.InferenceSession("FOLDER/model.onnx")
print([one.name for one in session.get_inputs()])  # input_ids, attention_mask, position_ids, past_key_values.N.key and .value
```

Inputs and outputs have the names that Optimum gives them; the past of the first call is empty (length 0). With Endonym, in the
project: `endonym serve onnx`.
"""
