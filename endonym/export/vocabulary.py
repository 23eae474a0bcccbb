"""Describe a byte-level BPE tokenizer in GGUF's terms, deciding how it cuts text from its own definition.

The pre-tokenizer's name is looked up by the `pre_tokenizer` block of tokenizer.json. Converters that hash the ids of a probe
string instead fail on every retrained or extended vocabulary, although the cutting did not change.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from endonym.errors import UsageError

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""GGUF token types (`gguf.TokenType`)."""


@dataclass(frozen=True)
class Vocabulary:
    """Tokens in id order with their GGUF types, merges in rank order, and llama.cpp's name for the pre-tokenizer."""

    tokens: list[str]
    types: list[int]
    merges: list[str]
    pre: str


def vocabulary(tokenizer: Any, num_tokens: int) -> Vocabulary:
    """Read a transformers tokenizer; `num_tokens` rows are filled, unused ones with placeholders.

    Raises UsageError naming what llama.cpp could not reproduce.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise _refuse("it has no tokenizer.json")
    definition = json.loads(tokenizer.backend_tokenizer.to_str())
    model = definition["model"]
    if model["type"] != "BPE" or model.get("byte_fallback"):
        raise _refuse(f"its model is {model['type']}{' with byte fallback' if model.get('byte_fallback') else ''}")
    if definition.get("normalizer") is not None:
        raise _refuse(f"it changes text before cutting it (normalizer {definition['normalizer']['type']})")
    if model.get("dropout") or model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise _refuse("it uses BPE dropout, a subword prefix or a word suffix")
    tokens = [f"[PAD{i}]" for i in range(num_tokens)]
    types = [UNUSED] * num_tokens
    for text, i in model["vocab"].items():
        tokens[i], types[i] = text, NORMAL
    for added in definition.get("added_tokens", []):
        if added["id"] >= num_tokens:
            raise _refuse(f"token {added['content']!r} has id {added['id']}, but the model has {num_tokens} rows")
        tokens[added["id"]] = added["content"]
        types[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    return Vocabulary(tokens, types, merges, pre_tokenizer(definition))


def pre_tokenizer(definition: dict[str, Any]) -> str:
    """Return llama.cpp's name for the cutting that tokenizer.json defines. Raises UsageError when it has none."""
    steps = _steps(definition.get("pre_tokenizer"))
    ignore_merges = bool(definition["model"].get("ignore_merges"))
    table = tomllib.loads((Path(__file__).parent / "pre_tokenizers.toml").read_text(encoding="utf-8"))
    for name, known in table.items():
        if known["steps"] == steps and known.get("ignore_merges", False) == ignore_merges:
            return name
    raise _refuse(f"its pre-tokenizer is none of {', '.join(table)}: {json.dumps(steps, ensure_ascii=False)}")


def _steps(block: dict[str, Any] | None) -> list[dict[str, Any]]:
    if block is None:
        return []
    if block["type"] == "Sequence":
        return [step for inner in block["pretokenizers"] for step in _steps(inner)]
    if block["type"] == "ByteLevel":
        step = {"type": "ByteLevel", "use_regex": block.get("use_regex", True)}
        return [{**step, "add_prefix_space": True} if block.get("add_prefix_space") else step]
    if block["type"] == "Split":
        usual = block.get("behavior") == "Isolated" and not block.get("invert") and "Regex" in block["pattern"]
        return [{"type": "Split", "pattern": block["pattern"]["Regex"]} if usual else block]
    return [block]


def _refuse(why: str) -> UsageError:
    return UsageError(
        f"this tokenizer cannot be written to GGUF: {why}",
        "GGUF export supports byte-level BPE cut like GPT-2, SmolLM, Llama 3 or Qwen2. Use: endonym export merged",
    )
