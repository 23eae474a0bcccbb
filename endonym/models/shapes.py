"""Shapes of new models: one number, the size, gives width, depth and heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import LlamaConfig, PreTrainedTokenizerBase

HEAD = 64
"""Width of an attention head."""


def decoder_of_size(
    parameters: float, tokenizer: PreTrainedTokenizerBase, max_length: int, dropout: float = 0.0
) -> LlamaConfig:
    """The Llama shape whose number of parameters comes nearest to `parameters`, embeddings included and tied.

    Deep and narrow, which is better at this size (Liu and others, MobileLLM, ICML 2024): three layers a head, a third of the
    heads for keys and values, an inner width of 8/3. Raises ConfigError when the embeddings alone are larger.
    """
    from transformers import LlamaConfig

    from endonym.errors import ConfigError

    vocabulary = len(tokenizer)
    shapes = [(heads, layers) for heads in range(1, 33) for layers in range(2, 3 * heads + 3)]
    fitting = [s for s in shapes if abs(s[1] - 3 * s[0]) <= 2]

    def count(heads: int, layers: int) -> int:
        width = heads * HEAD
        inner, keys = _inner(width), _groups(heads) * HEAD
        return (
            vocabulary * width + layers * (2 * width * width + 2 * width * keys + 3 * width * inner + 2 * width) + width
        )

    if count(1, 2) > 1.25 * parameters:
        raise ConfigError(
            f"{parameters / 1e6:g} million parameters are too few for a vocabulary of {vocabulary:,}",
            f"The smallest such model has {count(1, 2) / 1e6:.1f} million; use a larger --size or a smaller tokenizer.",
        )
    heads, layers = min(fitting, key=lambda s: abs(count(*s) - parameters))
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=heads * HEAD,
        intermediate_size=_inner(heads * HEAD),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=_groups(heads),
        head_dim=HEAD,
        max_position_embeddings=max(1024, max_length),
        attention_dropout=dropout,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _inner(width: int) -> int:
    return -(-8 * width // 3 // 64) * 64


def _groups(heads: int) -> int:
    return heads // 3 if heads % 3 == 0 else heads // 2 if heads % 2 == 0 else 1
