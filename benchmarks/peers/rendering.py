"""The token ids that every system must train on: rendered once with the base's own tokenizer, and compared as a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

IGNORE = -100
"""Label of a token that is not learned."""

TEMPLATE = (
    "{% for message in messages %}{% if not loop.first %}{{ '\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\n<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML with the line break before a turn and none behind the last one: systems differ in whether they learn that one."""

Row = tuple[list[int], list[int]]
"""Token ids, and labels of the same length."""


def read(path: str | Path) -> list[list[dict[str, str]]]:
    """The conversations of a JSONL file of `{"messages": [...]}` lines."""
    with Path(path).open(encoding="utf-8") as lines:
        return [json.loads(line)["messages"] for line in lines if line.strip()]


def render(tokenizer: Any, messages: Sequence[dict[str, str]]) -> Row:
    """Ids of one conversation; the last answer and its end marker are learned."""
    prompt = encode(tokenizer, messages[:-1], True)
    whole = encode(tokenizer, messages, False)
    assert whole[: len(prompt)] == prompt, "the answer changes the tokens of its prompt"
    return whole, [IGNORE] * len(prompt) + whole[len(prompt) :]


def encode(tokenizer: Any, messages: Sequence[dict[str, str]], ask: bool) -> list[int]:
    text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=ask)
    return list(tokenizer.encode(text, add_special_tokens=False))


def about(rows: Iterable[Row]) -> dict[str, Any]:
    """Numbers and a SHA-256 that are equal for equal rows in whatever order."""
    listed = sorted([list(ids), [i for i, label in enumerate(labels) if label != IGNORE]] for ids, labels in rows)
    return {
        "rows": len(listed),
        "tokens": sum(len(ids) for ids, _ in listed),
        "learned": sum(len(where) for _, where in listed),
        "digest": hashlib.sha256(json.dumps(listed).encode()).hexdigest(),
        "first": listed[0],
    }
