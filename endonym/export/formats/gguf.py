"""One GGUF file for llama.cpp, Ollama, LM Studio and phones, with the chat template inside and an Ollama Modelfile beside it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym.errors import UsageError
from endonym.export.card import write_card
from endonym.export.modelfile import write_modelfile
from endonym.export.parity import Tolerance
from endonym.export.source import Source
from endonym.export.vocabulary import vocabulary

if TYPE_CHECKING:
    import torch

RUNTIME = "llama_cpp"
REQUIRES = {"gguf": "gguf", "xllamacpp": "gguf"}
FILE_TYPES = {
    "f32": "ALL_F32",
    "f16": "MOSTLY_F16",
    "q8_0": "MOSTLY_Q8_0",
    "q4_0": "MOSTLY_Q4_0",
    "q4_1": "MOSTLY_Q4_1",
}
FLOAT16_MAX = 65504.0


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["f16", "f32", "q8_0", "q4_0", "q4_1"] = Field(
        "f16",
        description="Number format of the matrices: f16 answers as trained; q8_0 is half as large and nearly as good; "
        "q4_0 and q4_1 are a quarter, with embeddings kept in q8_0.",
    )


def export(model: Source, cfg: Config, out: Path) -> Path:
    """Write `<name>-<type>.gguf`, a Modelfile and a model card; returns the GGUF file. Raises UsageError for other families."""
    from gguf import GGUFWriter

    config = model.loaded.model.config
    if config.model_type != "llama":
        raise UsageError(
            f"GGUF export knows the Llama family, and this base model is a '{config.model_type}'",
            "Use a Llama-family base (such as smollm2-135m), or: endonym export merged",
        )
    words = vocabulary(model.loaded.tokenizer, config.vocab_size)
    path = out / f"{model.slug}-{cfg.type}.gguf"
    writer = GGUFWriter(path, "llama", use_temp_file=True)
    _add_about(writer, model, cfg)
    _add_shape(writer, config)
    _add_tokenizer(writer, model, words)
    _add_tensors(writer, model, cfg.type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    note = write_modelfile(model, path, out)
    write_card(model, out, "gguf", USE.replace("FILE", path.name) + note)
    return path


def tolerance(cfg: Config) -> Tolerance:
    """What each number format may change; llama.cpp also multiplies f16 matrices with activations rounded to f16."""
    return {
        "f32": Tolerance(near_tie=0.05, bits_per_byte=0.002),
        "f16": Tolerance(near_tie=0.05, bits_per_byte=0.002),
        "q8_0": Tolerance(near_tie=0.5, bits_per_byte=0.05, agreement=0.9),
        "q4_0": Tolerance(near_tie=1.0, bits_per_byte=0.5, agreement=0.6),
        "q4_1": Tolerance(near_tie=1.0, bits_per_byte=0.5, agreement=0.6),
    }[cfg.type]


def _add_about(writer: Any, model: Source, cfg: Config) -> None:
    from gguf import GGML_QUANT_VERSION, LlamaFileType

    writer.add_type("model")
    writer.add_name(model.name)
    writer.add_file_type(LlamaFileType[FILE_TYPES[cfg.type]])
    writer.add_quantization_version(GGML_QUANT_VERSION)
    if model.licence:
        writer.add_license(model.licence)
    languages = [code for code in (model.language, model.pivot) if code]
    if languages:
        writer.add_languages(languages)
    if model.base.get("hub"):
        writer.add_base_model_count(1)
        writer.add_base_model_name(0, model.base["hub"].rpartition("/")[2])
        writer.add_base_model_organization(0, model.base["hub"].partition("/")[0])
        writer.add_base_model_repo_url(0, f"https://huggingface.co/{model.base['hub']}")


def _add_shape(writer: Any, config: Any) -> None:
    from gguf import RopeScalingType

    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_size)
    writer.add_value_length(head_size)
    writer.add_rope_dimension_count(head_size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    rope = rope_settings(config)
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    elif rope["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(rope, head_size).numpy())


def rope_settings(config: Any) -> dict[str, Any]:
    """Rotary settings under the names of transformers 5, read from either version's config."""
    rope = dict(getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {})
    rope.setdefault("rope_theta", getattr(config, "rope_theta", 10000.0))
    rope.setdefault("rope_type", rope.get("type", "default"))
    if rope["rope_type"] not in ("default", "linear", "llama3"):
        raise UsageError(
            f"GGUF export does not know the rotary scaling '{rope['rope_type']}'", "Use: endonym export merged"
        )
    return rope


def llama3_factors(rope: dict[str, Any], head_size: int) -> torch.Tensor:
    """Divisor of each rotary frequency, shape (head_size / 2,), as Llama 3.1 stretches long wavelengths (float32)."""
    import torch

    wavelengths = 2 * math.pi * rope["rope_theta"] ** (torch.arange(0, head_size, 2, dtype=torch.float64) / head_size)
    low, high, old = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
    smooth = ((old / wavelengths - low) / (high - low)).clamp(0, 1)
    return (1 / ((1 - smooth) / rope["factor"] + smooth)).float()


def _add_tokenizer(writer: Any, model: Source, words: Any) -> None:
    tokenizer, renderer = model.loaded.tokenizer, model.loaded.renderer
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(words.pre)
    writer.add_token_list(words.tokens)
    writer.add_token_types(words.types)
    writer.add_token_merges(words.merges)
    for name, index in (
        ("bos", tokenizer.bos_token_id),
        ("eos", tokenizer.eos_token_id),
        ("eot", renderer.end_ids[0]),
        ("unk", tokenizer.unk_token_id),
        ("pad", tokenizer.pad_token_id),
    ):
        if index is not None:
            getattr(writer, f"add_{name}_token_id")(index)
    # The renderer adds nothing in front of what the template says, so llama.cpp must not either.
    writer.add_add_bos_token(False)
    writer.add_chat_template(renderer.template)


def _add_tensors(writer: Any, model: Source, type_name: str) -> None:
    from gguf import MODEL_ARCH, get_tensor_name_map

    config = model.loaded.model.config
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, config.num_hidden_layers)
    tied = model.is_tied()
    for name, tensor in model.merged():
        if tied and name == "lm_head.weight":
            continue
        ours = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if ours is None:
            raise UsageError(f"GGUF has no place for the weight '{name}'", "Use: endonym export merged")
        if ".q_proj." in name:
            tensor = to_pairs(tensor, config.num_attention_heads)
        elif ".k_proj." in name:
            tensor = to_pairs(tensor, config.num_key_value_heads)
        _add_tensor(writer, ours, tensor, type_name)


def _add_tensor(writer: Any, name: str, tensor: torch.Tensor, type_name: str) -> None:
    """Quantise one tensor: vectors stay float32, and rows no block fits into stay float16."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
    from gguf.quants import quantize

    if type_name.startswith("q4") and name in ("token_embd.weight", "output.weight"):
        type_name = "q8_0"
    kind = GGMLQuantizationType[type_name.upper()]
    if tensor.dim() < 2:
        kind = GGMLQuantizationType.F32
    elif tensor.shape[-1] % GGML_QUANT_SIZES[kind][0]:
        kind = GGMLQuantizationType.F16
    if kind is GGMLQuantizationType.F16 and not float(tensor.abs().max()) <= FLOAT16_MAX:
        raise UsageError(f"the weight '{name}' does not fit into float16", "Use: endonym export gguf --type f32")
    writer.add_tensor(name, quantize(tensor.contiguous().numpy(), kind), raw_dtype=kind)


def to_pairs(weight: torch.Tensor, num_heads: int) -> torch.Tensor:
    """Put rows i and i + d/2 of each head next to each other, as llama.cpp's rotation of (0, 1), (2, 3), ... wants them."""
    halves = weight.reshape(num_heads, 2, weight.shape[0] // num_heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


USE = """```
llama-server -m FILE          # llama.cpp
ollama create my-model        # Ollama, in this folder
endonym serve llama_cpp       # OpenAI-compatible, on this computer
```
"""
