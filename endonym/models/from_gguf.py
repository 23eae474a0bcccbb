"""Turn a GGUF file of the Llama family into a Hugging Face folder: config, safetensors, tokenizer, chat template.

Only files whose hash the catalog knows come here. Weights are dequantised tensor by tensor and stored as bfloat16: a
4-bit or 8-bit weight carries less than bfloat16's eight significant bits of relative precision, and the folder is half as large.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from endonym.errors import MissingError

Progress = Callable[[str, int, int], None]

TENSOR_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
DIGIT_BY_DIGIT = {"smollm", "starcoder", "refact", "command-r", "codeshell"}
"""llama.cpp pre-tokenizers that are GPT-2's pattern after splitting every digit off."""
CONTROL = 3
"""GGUF token type of special tokens (`gguf.TokenType.CONTROL`)."""


def convert(source: Path, out: Path, progress: Progress | None = None) -> None:
    """Write the folder `out` (which must exist) from the GGUF file `source`.

    Raises MissingError when the `gguf` package is not installed or the file is of another family.
    """
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise MissingError(
            "turning a GGUF file into a base model needs the Python module 'gguf'",
            "Install it with: pip install 'endonym[gguf]'",
        ) from error
    reader = GGUFReader(source)
    fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    if fields.get("general.architecture") != "llama" or fields.get("tokenizer.ggml.model") != "gpt2":
        raise MissingError(
            f"{source.name} holds a '{fields.get('general.architecture')}' model with a "
            f"'{fields.get('tokenizer.ggml.model')}' tokenizer",
            "Only the Llama family with a byte-level BPE tokenizer can be read from GGUF; use a Hugging Face folder.",
        )
    tied = not any(tensor.name == "output.weight" for tensor in reader.tensors)
    _write_json(out / "config.json", _config(fields, tied))
    _write_json(out / "generation_config.json", _generation_config(fields))
    _save_tokenizer(fields, out)
    _save_weights(reader.tensors, fields, out, progress)


def _config(fields: dict[str, Any], tied: bool) -> dict[str, Any]:
    heads = fields["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": fields.get("llama.attention.head_count_kv", heads),
        "max_position_embeddings": fields["llama.context_length"],
        # GGUF holds the epsilon as float32 (9.999999747378752e-06); the model was defined with its short decimal.
        "rms_norm_eps": float(f"{fields['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_theta": fields.get("llama.rope.freq_base", 10000.0),
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": tied,
        "torch_dtype": "bfloat16",
        "bos_token_id": fields.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "pad_token_id": fields.get("tokenizer.ggml.padding_token_id"),
    }


def _generation_config(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "bos_token_id": fields.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "pad_token_id": fields.get("tokenizer.ggml.padding_token_id"),
    }


def _save_tokenizer(fields: dict[str, Any], out: Path) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ", 1)) for merge in fields["tokenizer.ggml.merges"]]
    backend = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=bool(fields.get("tokenizer.ggml.add_space_prefix", False)))
    if fields.get("tokenizer.ggml.pre") in DIGIT_BY_DIGIT:
        backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    else:
        backend.pre_tokenizer = byte_level
    backend.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, types, strict=True) if kind == CONTROL]
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])

    def named(key: str) -> str | None:
        index = fields.get(f"tokenizer.ggml.{key}_token_id")
        return None if index is None else tokens[index]

    PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=named("bos"),
        eos_token=named("eos"),
        unk_token=named("unknown"),
        pad_token=named("padding"),
        chat_template=fields.get("tokenizer.chat_template"),
        clean_up_tokenization_spaces=False,
        model_max_length=fields["llama.context_length"],
    ).save_pretrained(out)
    settings = json.loads((out / "tokenizer_config.json").read_text(encoding="utf-8"))
    # transformers 5 writes a class name that version 4 does not know; both know this one.
    _write_json(out / "tokenizer_config.json", {**settings, "tokenizer_class": "PreTrainedTokenizerFast"})


def _save_weights(tensors: Any, fields: dict[str, Any], out: Path, progress: Progress | None) -> None:
    from safetensors.torch import save_file

    weights = {}
    for done, (name, weight) in enumerate(_weights(tensors, fields), 1):
        weights[name] = weight
        if progress:
            progress("weights", done, len(tensors))
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    (out / "model.safetensors").chmod(0o644)


def _weights(tensors: Any, fields: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    import torch
    from gguf.quants import dequantize

    heads = fields["llama.attention.head_count"]
    kv_heads = fields.get("llama.attention.head_count_kv", heads)
    for tensor in tensors:
        parts = tensor.name.removesuffix(".weight").split(".")
        if parts[-1] == "rope_freqs":
            continue
        name = TENSOR_NAMES[parts[-1]] + ".weight"
        if parts[0] == "blk":
            name = f"model.layers.{parts[1]}.{name}"
        weight = dequantize(tensor.data, tensor.tensor_type)
        if parts[-1] in ("attn_q", "attn_k"):
            weight = to_halves(weight, heads if parts[-1] == "attn_q" else kv_heads)
        yield name, torch.from_numpy(weight.copy()).to(torch.bfloat16)


def to_halves(weight: Any, num_heads: int) -> Any:
    """Undo llama.cpp's row order of a query or key matrix.

    llama.cpp rotates neighbouring rows (0, 1), transformers rotates row i with row i + d/2 of the same head.
    """
    rows, columns = weight.shape
    return weight.reshape(num_heads, rows // num_heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
