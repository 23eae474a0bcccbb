"""One ONNX graph, with key-value cache where the model has one, for onnxruntime and what is built on it: browsers, phones, C#, Java."""

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
        description="Number format of the matrices: f32 answers as trained; int8 is less than half as large and nearly as good.",
    )


def export(model: Source, cfg: Config, out: Path) -> Path:
    """Write the graph, config, tokenizer and model card; weights beyond 1.9 GB lie in a file beside the graph."""
    import torch

    from endonym.export.trace import trace
    from endonym.models.graph import ONNX, SHORTEST, input_names, output_names

    program = trace(model)
    # No layers where it has no past; one output more where it has modules.
    num_layers, has_modules = divmod(len(program.graph_signature.user_outputs) - 1, 2)
    graph = torch.onnx.export(
        program,
        (),
        input_names=input_names(num_layers, bool(has_modules)),
        output_names=output_names(num_layers, bool(has_modules)),
        dynamo=True,
        verbose=False,
    )
    assert graph is not None
    weights = sum(one.numel() * one.element_size() for one in program.state_dict.values())
    graph.save(out / ONNX, external_data=weights > LARGEST)
    if cfg.type == "int8":
        round_matrices(out / ONNX)
    model.save_config(out, dtype="float32", tie_word_embeddings=model.is_tied())
    model.save_tokenizer(out)
    write_card(model, out, "onnx", USE if num_layers else USE_OF_BYTES.replace("SHORTEST", str(SHORTEST)))
    return out


def round_matrices(path: Path) -> None:
    """Matrices in blocks of 32 numbers of 8 bits with a scale each, as GGUF's q8_0 has them; the output layer stays as it is.

    Rounding whole matrices, and what is multiplied with them, at one scale (onnxruntime's dynamic quantisation) cost 0.9 bits
    a token on SmolLM2-135M where this costs 0.02.
    """
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    rounded = MatMulNBitsQuantizer(onnx.load(path), bits=8, block_size=32, is_symmetric=True, accuracy_level=4)
    rounded.process()
    left = rounded.model.model.ByteSize() > LARGEST
    for one in path.parent.glob(f"{path.name}*"):
        one.unlink()
    rounded.model.save_model_to_file(str(path), use_external_data_format=left)


def tolerance(cfg: Config) -> Tolerance:
    """float32 differs in the last digits only; eight bits change what they change in GGUF."""
    if cfg.type == "f32":
        return Tolerance(near_tie=1e-3, bits_per_byte=1e-4, logit_gap=1e-2)
    return Tolerance(near_tie=0.5, bits_per_byte=0.05, agreement=0.9)


USE = """```python
import onnxruntime

session = onnxruntime.InferenceSession("FOLDER/model.onnx")
print([one.name for one in session.get_inputs()])  # input_ids, attention_mask, position_ids, past_key_values.N.key and .value
```

Inputs and outputs have the names that Optimum gives them; the past of the first call is empty (length 0). With Endonym, in the
project: `endonym serve onnx`.
"""
USE_OF_BYTES = """```python
import numpy
import onnxruntime

session = onnxruntime.InferenceSession("FOLDER/model.onnx")
ids = numpy.array([[1, *(8 + byte for byte in "text".encode())]])  # 1 begins a text; bytes begin at 8
(logits,) = session.run(None, {"input_ids": ids})
```

One row at a time, of SHORTEST ids or more: a shorter one is padded at its end with 0, which changes nothing before it. The graph has no past: for each
byte that is generated, the row is computed anew. With Endonym, in the project: `endonym serve onnx`.
"""
