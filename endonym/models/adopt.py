"""Give a model another tokenizer, with the new rows made in the way that serves the user's own text best."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from endonym.data.lexicon import Lexicon
from endonym.models.distil import Distilling, distilled, snippets
from endonym.models.generate import answer_nll
from endonym.models.load import Loaded, number_format
from endonym.models.render import Renderer
from endonym.models.vocabulary import (
    Change,
    Matrices,
    change,
    install,
    mean,
    meanings,
    random,
    rename_specials,
    weighted,
)
from endonym.types import Chat

WAYS = ("mean", "weighted", "distil")
"""The ways `auto` chooses among; `random` is there to be compared with."""


@dataclass(frozen=True)
class Material:
    """What new rows are made of and measured on."""

    texts: Sequence[str]
    """Training texts of the language."""
    pairs: Sequence[tuple[str, str]]
    """The same thing in the language and in the pivot; without any, `weighted` is left out."""
    held: Sequence[Chat]
    """Validation chats; their answers are what is measured."""


@dataclass(frozen=True)
class Adopted:
    """A model with its new tokenizer, and how each way of making rows did."""

    loaded: Loaded
    changed: Change
    way: str
    bits_per_byte: dict[str, float]
    """By way, and of the base with its own tokenizer under `base`; empty when nothing was measured."""
    rows: dict[str, torch.Tensor]
    """The rows of the fresh tokens, `input` and, where they are not the mean of their pieces, `output`; shape (tokens, width)."""


def adopt(
    loaded: Loaded,
    tokenizer: Any,
    way: str,
    material: Material,
    cfg: Distilling,
    log: Callable[[str], None],
    progress: Callable[[int, int], None] | None = None,
    rows: Mapping[str, torch.Tensor] | None = None,
) -> Adopted:
    """Give the model of `loaded` the vocabulary of `tokenizer`; `way` is `auto`, `random`, or one of `WAYS`.

    `auto` makes rows in every way, measures bits per byte on the validation answers with each, and keeps the best. `rows` that
    were made earlier are taken as they are.
    """
    model: Any = loaded.model
    before = Matrices.of(model)
    changed = change(loaded.tokenizer, tokenizer, len(before.input))
    unchanged = Change(len(before.input), [(i, i) for i in range(len(before.input))], [], [])
    after = replace(loaded, tokenizer=tokenizer, renderer=Renderer(tokenizer))
    ways = [w for w in WAYS if w != "weighted" or material.pairs] if way == "auto" and changed.fresh else [way]
    measured: dict[str, float] = {}
    made: dict[str, dict[str, torch.Tensor]] = {}
    if rows:
        ways, made = [way], {way: dict(rows)}
    elif len(ways) > 1:
        measured["base"] = bits_per_byte(loaded, material.held)
        log(f"{len(changed.fresh)} new tokens; the base in its own spelling: {measured['base']:.3f} bits per byte")
    for name in [w for w in ways if w not in made]:
        with arithmetic(loaded.device):
            install(model, before, unchanged, before.input[:0])
            made[name] = _made(name, loaded, after, before, changed, material, cfg, progress)
        if len(ways) > 1:
            install(model, before, changed, made[name]["input"], made[name].get("output"))
            measured[name] = bits_per_byte(after, material.held)
            log(f"new rows by {name}: {measured[name]:.3f} bits per byte")
    best = min(ways, key=lambda name: measured.get(name, 0.0))
    install(model, before, changed, made[best]["input"], made[best].get("output"))
    rename_specials(model, loaded.tokenizer, tokenizer)
    return Adopted(after, changed, best, measured, made[best])


def bits_per_byte(loaded: Loaded, chats: Sequence[Chat]) -> float:
    """Bits per UTF-8 byte of the answers, which tokenizers of any kind can be compared by."""
    with arithmetic(loaded.device):
        found = answer_nll(loaded, chats)
    return sum(nats for nats, _ in found) / math.log(2) / max(1, sum(size for _, size in found))


def arithmetic(device: torch.device) -> Any:
    """Compute in bf16 inside the block where that is faster, whatever the weights are kept in."""
    fast = number_format("auto", device) == torch.bfloat16
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=fast)


def _made(
    way: str,
    loaded: Loaded,
    after: Loaded,
    before: Matrices,
    changed: Change,
    material: Material,
    cfg: Distilling,
    progress: Callable[[int, int], None] | None,
) -> dict[str, torch.Tensor]:
    """Input rows of the fresh tokens, and output rows where they are not simply the mean."""
    if way == "random":
        rows = {"input": random(before.input, changed.pieces, cfg.seed)}
        if before.output is not None:
            rows["output"] = random(before.output, changed.pieces, cfg.seed + 1)
        return rows
    if way == "weighted":
        lexicon = Lexicon.learn([(a.casefold(), b.casefold()) for a, b in material.pairs])
        texts = [text.casefold() for text in material.texts]
        known = meanings(after.tokenizer, loaded.tokenizer, texts, lexicon, changed.fresh)
        return {"input": weighted(before.input, changed.pieces, changed.fresh, known)}
    if way == "distil":
        found = snippets(loaded.tokenizer, after.tokenizer, material.texts, changed.fresh, cfg)
        return {"input": distilled(loaded.model, before, changed, found, cfg, progress)}
    return {"input": mean(before.input, changed.pieces)}
