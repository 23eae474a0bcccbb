"""Fit the rows of new tokens so that the model's states after them are those after their old spelling.

Token Distillation (Dobler, Elliott and de Melo, Token Distillation: Attention-aware Input Embeddings for New Tokens, 2025): the
model is frozen, only new input rows learn, and no label is needed. The loss of the next token is left out even where the head is
tied: every row is part of it at every step, and an optimiser that gives all gradients the same size drives rows away that no
snippet holds.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from endonym.models.generate import decoder, layers_name
from endonym.models.spelling import Speller
from endonym.models.vocabulary import Change, Matrices, all_rows, install, mean, only_rows


@dataclass(frozen=True)
class Distilling:
    """How rows are fitted."""

    tokens: int = 30_000
    """Old tokens of the snippets, over which the teacher and then the new rows are run."""
    epochs: int = 1
    per_token: int = 20
    """Snippets wanted for each new token."""
    longest: int = 96
    """Old tokens in a snippet."""
    batch: int = 4
    depth: float = 0.5
    """Share of the layers whose last state is matched."""
    rate: float = 0.03
    """Learning rate in units of the old rows' spread."""
    seed: int = 20


@dataclass(frozen=True)
class Snippet:
    """A text in both spellings, with the places where a token ends in both."""

    old: list[int]
    new: list[int]
    ends_old: list[int]
    ends_new: list[int]


def snippets(old: Any, new: Any, texts: Sequence[str], fresh: Sequence[int], cfg: Distilling) -> list[Snippet]:
    """Pieces of `texts` in which new tokens stand that have not been seen `per_token` times yet, in random order."""
    wanted, seen = set(fresh), Counter[int]()
    before, after = Speller(old), Speller(new)
    sizes = [
        {n: len(speller.bytes_of(token)) for token, n in speller.vocabulary.items()} for speller in (before, after)
    ]
    first_old, first_new = ([] if t.bos_token_id is None else [t.bos_token_id] for t in (old, new))
    found: list[Snippet] = []
    total = 0
    chosen = list(texts)
    random.Random(cfg.seed).shuffle(chosen)
    for text in chosen:
        if total >= cfg.tokens:
            break
        ids_old, ids_new = (t.encode(text, add_special_tokens=False) for t in (old, new))
        length = len(text.encode())
        at_old, at_new = (_ends(ids, size, length) for ids, size in zip((ids_old, ids_new), sizes, strict=True))
        both = [end for end in at_new if end in at_old and at_old[end] < cfg.longest]
        if not both:
            continue
        cut_old, cut_new = at_old[both[-1]] + 1, at_new[both[-1]] + 1
        if not any(n in wanted and seen[n] < cfg.per_token for n in ids_new[:cut_new]):
            continue
        found.append(
            Snippet(
                first_old + ids_old[:cut_old], first_new + ids_new[:cut_new],
                [at_old[end] + len(first_old) for end in both], [at_new[end] + len(first_new) for end in both],
            )
        )  # fmt: skip
        seen.update(n for n in ids_new[:cut_new] if n in wanted)
        total += cut_old
    return found


def distilled(
    model: Any,
    before: Matrices,
    changed: Change,
    found: Sequence[Snippet],
    cfg: Distilling,
    progress: Callable[[int, int], None] | None = None,
) -> torch.Tensor:
    """Fitted input rows of the fresh tokens; a head of its own keeps the means of the pieces.

    `model` has the old vocabulary when it comes in, and the new one afterwards.
    """
    device = before.input.device
    model.eval()
    batches = [list(found[i : i + cfg.batch]) for i in range(0, len(found), cfg.batch)]
    with _shallow(model, cfg.depth), torch.no_grad():
        wanted = [
            torch.cat([row[s.ends_old] for row, s in zip(_states(model, [s.old for s in b], device), b, strict=True)])
            for b in batches
        ]
    install(model, before, changed, mean(before.input, changed.pieces))
    only_rows(model, changed.fresh)
    learned = [model.get_input_embeddings().weight]
    rate = cfg.rate * float(before.input.std())
    optimizer = torch.optim.AdamW(learned, lr=rate, betas=(0.9, 0.95), weight_decay=0.0)
    total, done = cfg.epochs * len(batches), 0
    for epoch in range(cfg.epochs):
        order = list(range(len(batches)))
        random.Random(f"{cfg.seed}:{epoch}").shuffle(order)
        for i in order:
            for group in optimizer.param_groups:
                group["lr"] = rate * (1 - done / total)
            _match(model, batches[i], wanted[i], cfg, device).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            done += 1
            if progress:
                progress(done, total)
    all_rows(model)
    fitted: torch.Tensor = model.get_input_embeddings().weight.detach()[changed.fresh]
    return fitted


def _match(
    model: Any, batch: list[Snippet], wanted: torch.Tensor, cfg: Distilling, device: torch.device
) -> torch.Tensor:
    """Squared distance of the states in units of their spread."""
    with _shallow(model, cfg.depth):
        states = _states(model, [s.new for s in batch], device)
    ends = torch.cat([row[s.ends_new] for row, s in zip(states, batch, strict=True)])
    distance: torch.Tensor = (ends.float() - wanted.float()).pow(2).mean() / wanted.float().var()
    return distance


def _states(model: Any, rows: Sequence[Sequence[int]], device: torch.device) -> torch.Tensor:
    """Last hidden states; shape (rows, longest, width), padding behind each row."""
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
    hidden: torch.Tensor = decoder(model)(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    return hidden


@contextmanager
def _shallow(model: Any, depth: float) -> Iterator[None]:
    """Run the first layers alone inside the block."""
    inner = decoder(model)
    name = layers_name(inner)
    layers = getattr(inner, name)
    setattr(inner, name, layers[: max(1, round(depth * len(layers)))])
    try:
        yield
    finally:
        setattr(inner, name, layers)


def _ends(ids: Sequence[int], sizes: dict[int, int], length: int) -> dict[int, int]:
    """Byte offset at which a token ends -> its place, in a text of `length` bytes; empty where the tokens spell another text.

    SentencePiece sets a space before a text, which is no part of it.
    """
    before = sum(sizes[number] for number in ids) - length
    if before not in (0, 1):
        return {}
    found, at = {}, -before
    for place, number in enumerate(ids):
        at += sizes[number]
        found[at] = place
    return found
