"""Which rows a step sees, and how rows are packed without seeing each other.

The order is a pure function of (seed, epoch, cursor): a checkpoint holds the cursor, not an iterator. Rows are laid end to end
without padding, a beginning that several share once; attention runs inside each row alone, so packing changes speed and nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from endonym.models.nets.together import SHORT, Piece
from endonym.models.render import IGNORE, Example
from endonym.train.settings import FitConfig

ROUND = 64
"""Packs on a CPU are filled up to a multiple of this many tokens."""

FILLER = 32
"""Longest row that fills a pack up: such rows are attended to together with the beginnings that rows share."""

LOOKED_AT = 2000
"""Steps of a run whose packs are made beforehand to find the largest."""

WORTH = 8
"""Tokens that a beginning must have to be shared."""


@dataclass(frozen=True)
class Cursor:
    """A place in the data: rows of `epoch` before `row` have been used."""

    epoch: int = 0
    row: int = 0


@dataclass(frozen=True)
class Packed:
    """Rows laid end to end. Shapes: `ids`, `positions` (1, T), `predicting`, `targets` (learned tokens,)."""

    ids: torch.Tensor
    positions: torch.Tensor
    predicting: torch.Tensor
    """The places whose next token in the same piece is learned; found before the pack goes to a device, which then never waits."""
    targets: torch.Tensor
    """Those next tokens."""
    pieces: tuple[Piece, ...]
    laid: tuple[tuple[Example | None, int, int], ...]
    """For each piece the row it is of, and its first and last token in it; no row for what fills the pack up."""
    num_tokens: int
    """Tokens of the rows themselves, each counted as if it stood alone."""

    @property
    def num_learned(self) -> int:
        """Learned tokens that have a token before them in their row."""
        return len(self.targets)


Loss = Callable[[torch.nn.Module, Packed], torch.Tensor]
"""Summed loss over the learned tokens of a pack."""


def order(num_rows: int, weights: Sequence[float], seed: int, epoch: int) -> list[int]:
    """Row numbers of one epoch in random order; a row of weight w comes floor(w) times, and once more with the rest's chance."""
    if not any(w > 0 for w in weights):
        raise ValueError("every row has weight 0")
    chooser = random.Random(f"{seed}:{epoch}")
    rows = []
    for i in range(num_rows):
        times = int(weights[i]) + (chooser.random() < weights[i] % 1.0)
        rows += [i] * times
    chooser.shuffle(rows)
    return rows


def by_stages(
    stages: Sequence[Collection[int]], lengths: Sequence[int], weights: Sequence[float], seed: int, epoch: int
) -> list[int]:
    """Row numbers of one epoch when the first epochs are stages: `lengths[n]` draws from the rows in `stages[n]`, in random order.

    A stage goes through its rows as often as its length asks for. After the last stage come epochs of all rows, as in `order`.
    """
    if epoch >= len(stages):
        return order(len(weights), weights, seed, epoch)
    own = set(stages[epoch])
    # Each stage shuffles on its own: its seed must not be that of an epoch of all rows.
    inside = [w if i in own else 0.0 for i, w in enumerate(weights)]
    rows: list[int] = []
    turn = 0
    while len(rows) < lengths[epoch]:
        rows += order(len(weights), inside, seed * 1_000_003 + epoch + 1, turn)
        turn += 1
    return rows[: lengths[epoch]]


def steps(rows_of: Callable[[int], list[int]], batch_size: int, cursor: Cursor) -> Iterator[tuple[list[int], Cursor]]:
    """Yield endlessly `(row numbers of the next optimiser step, cursor after it)`; a step may span two epochs.

    `rows_of(epoch)` gives the row numbers of an epoch in their order, the same whenever it is asked.
    """
    epoch, at = cursor.epoch, cursor.row
    rows = rows_of(epoch)
    while True:
        chosen: list[int] = []
        while len(chosen) < batch_size:
            if at >= len(rows):
                epoch, at = epoch + 1, 0
                rows = rows_of(epoch)
            taken = rows[at : at + batch_size - len(chosen)]
            chosen += taken
            at += len(taken)
        yield chosen, Cursor(epoch, at)


def micro_batches(examples: Sequence[Example], most_tokens: int, devices: int = 1) -> list[list[Example]]:
    """Cut one step's rows into as few packs of at most `most_tokens` tokens as will do, all about equally full.

    With several `devices`, each gets as many, as far as there are rows. A longer row stands alone. Longest rows are placed first, each into the emptiest pack.
    """
    ordered = sorted(examples, key=lambda e: -len(e.ids))
    number = -(-sum(len(e.ids) for e in examples) // (most_tokens * devices)) * devices or devices
    while True:
        packs: list[list[Example]] = [[] for _ in range(number)]
        filled = [0] * number
        for example in ordered:
            emptiest = filled.index(min(filled))
            packs[emptiest].append(example)
            filled[emptiest] += len(example.ids)
        packs = [p for p in packs if p]
        if all(len(p) == 1 or sum(len(e.ids) for e in p) <= most_tokens for p in packs):
            return packs
        number += devices


@dataclass(frozen=True)
class Largest:
    """The packs that need most memory of all that a run meets."""

    packs: list[list[Example]]
    """The fullest, and the fullest of short rows alone, which are attended to in another way."""
    several: bool
    """Whether a step ever is more than one pack, so that gradients of one are there when the next goes forward."""


def largest(
    examples: Sequence[Example], orders: Sequence[Callable[[int], list[int]]], cfg: FitConfig, devices: int = 1
) -> Largest:
    """What a run meets at most in any of `orders`.

    Nothing is left to chance in a run's order, so it is known before; of a long run `LOOKED_AT` steps are looked at.
    """
    found: dict[bool, tuple[int, list[Example]]] = {}
    several = False
    for rows_of in orders:
        source = steps(rows_of, cfg.batch_size, Cursor())
        for _ in range(min(cfg.last_step, LOOKED_AT)):
            made = micro_batches([examples[i] for i in next(source)[0]], cfg.batch_tokens, devices)
            several = several or len(made) > devices
            for rows in made:
                tokens, short = sum(len(e.ids) for e in rows), max(len(e.ids) for e in rows) <= SHORT
                if tokens > found.get(short, (0, []))[0]:
                    found[short] = tokens, rows
    return Largest([rows for _, rows in found.values()], several)


def pack(examples: Sequence[Example], device: torch.device) -> Packed:
    """Lay rows end to end with positions that start at 0 in each; what rows have in common before they teach stands there once.

    On a CPU short rows that teach nothing fill the pack up to a multiple of `ROUND` tokens: the matrix library prepares itself
    anew for every size it has not met, which costs up to half the time when every pack has another.
    """
    ids: list[int] = []
    labels: list[int] = []
    positions: list[int] = []
    pieces: list[Piece] = []
    laid: list[tuple[Example | None, int, int]] = []

    def lay(example: Example, first: int, last: int, before: range = range(0), filling: bool = False) -> range:
        start = len(ids)
        ids.extend(example.ids[first:last])
        labels.extend(example.labels[first:last])
        positions.extend(range(last - first) if example.cuts else range(first, last))
        pieces.append(Piece(start, len(ids), before, example.domain))
        laid.append((None if filling else example, first, last))
        return range(start, len(ids))

    for rows, shared in together(examples):
        before = lay(rows[0], 0, shared) if shared else range(0)
        for row in rows:
            for first, last in pairwise((shared, *row.cuts, len(row.ids))):
                lay(row, first, last, before)
    filler = -len(ids) % ROUND if device.type == "cpu" else 0
    for first in range(0, filler, FILLER):
        length = min(FILLER, filler - first)
        lay(Example([0] * length, [IGNORE] * length), 0, length, filling=True)

    predicting = [t for piece in pieces for t in range(piece.start, piece.end - 1) if labels[t + 1] != IGNORE]

    def placed(values: list[int] | list[list[int]]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.long, device=device)

    return Packed(
        placed([ids]), placed([positions]), placed(predicting), placed([labels[t + 1] for t in predicting]),
        tuple(pieces), tuple(laid), sum(len(e.ids) for e in examples),
    )  # fmt: skip


def together(examples: Sequence[Example]) -> list[tuple[list[Example], int]]:
    """The rows in groups with the length of the beginning each group shares, so that as few tokens as can be stand twice.

    Nothing is shared from the last token before the first learned one on: what follows it differs, and it predicts that. Rows that
    teach different modules share nothing.
    """
    free = [
        0 if e.cuts else max(0, next((i for i, label in enumerate(e.labels) if label != IGNORE), len(e.ids)) - 1)
        for e in examples
    ]
    found: list[tuple[list[Example], int]] = []

    def divide(rows: list[int]) -> tuple[int, list[tuple[list[int], int]]]:
        """Tokens saved by the best grouping of `rows`, and the grouping."""
        first, most = examples[rows[0]].ids, min(free[i] for i in rows)
        same = 0
        while same < most and all(examples[i].ids[same] == first[same] for i in rows):
            same += 1
        if len(rows) == 1:
            return 0, [(rows, 0)]
        whole = (len(rows) - 1) * same if same >= WORTH else 0
        parts: dict[int, list[int]] = {}
        for i in rows:
            # A row that may not share more ends here, and stands alone among the parts.
            parts.setdefault(examples[i].ids[same] if same < free[i] else -1 - i, []).append(i)
        divided = [divide(part) for part in parts.values()]
        saved = sum(gain for gain, _ in divided)
        if saved > whole:
            return saved, [group for _, groups in divided for group in groups]
        return whole, [(rows, same if whole else 0)]

    for domain in dict.fromkeys(e.domain for e in examples):
        own = [i for i, e in enumerate(examples) if e.domain == domain]
        found += [([examples[i] for i in rows], shared) for rows, shared in divide(own)[1]]
    return found
