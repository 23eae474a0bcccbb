"""What the words of a text say of where it belongs: how often each token, and each two in a row, stand in the texts of a module.

Both are counted in hashed buckets, whose numbers are called keys here. Shapes: C classes, L lengths of runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from endonym.models.nets.ngrams import hashed, history

LENGTHS = (1, 2)
"""Tokens of the runs that are counted."""
BUCKETS = 8192
"""For the runs of each length."""
KEYS = len(LENGTHS) * BUCKETS
MOST = 256
"""Tokens of a text that are kept to calibrate by."""
PRIOR = 1000.0
"""Runs, drawn as all classes together have them, that each class is thought to have beside its own; chosen on dev texts (docs/log.md)."""


def keys_of(recent: torch.Tensor) -> torch.Tensor:
    """The keys (T, L) of the runs that end at tokens with the `history` `recent` (T, longest run or more)."""
    found = [hashed(recent, length, BUCKETS) + n * BUCKETS for n, length in enumerate(LENGTHS)]
    return torch.stack(found, dim=-1)


def keys_of_row(ids: Sequence[int]) -> torch.Tensor:
    """The keys (T, L) of a whole row."""
    row = torch.tensor(list(ids), dtype=torch.long)
    return keys_of(history(row, torch.arange(len(row)), max(LENGTHS)))


def bag(ids: Sequence[int]) -> torch.Tensor:
    """The keys of the first `MOST` tokens, sorted, so that no order of words is kept: (MOST L,) in int16, -1 where there are no more."""
    found = keys_of_row(ids[:MOST]).flatten().sort().values
    return torch.nn.functional.pad(found, (0, MOST * len(LENGTHS) - len(found)), value=-1).short()


def log_odds(counts: torch.Tensor) -> torch.Tensor:
    """How much more often each class has each run than all of them have on the mean: logarithms (KEYS, C) of `counts` (C, KEYS).

    Of a run that a class has c times of n, where p is the mean of the classes' shares of it: ln((c / p + m) / (n + m)), m being `PRIOR`.
    That is ln(P / p) for P smoothed by m runs of the mean (MacKay and Peto 1995). A run that none has counts against all.
    """
    by_length = counts.double().view(len(counts), len(LENGTHS), BUCKETS)
    total = by_length.sum(-1, keepdim=True)
    usual = (by_length / total.clamp(min=1)).mean(0)
    times = torch.where(usual > 0, by_length / usual, 0.0)
    return ((times + PRIOR) / (total + PRIOR)).log().flatten(1).T.float().contiguous()


def summed(table: torch.Tensor, bags: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums (R, C) of the rows of `table` (KEYS, C) that `bags` (R, MOST L) name, and how many tokens each bag is of (R,)."""
    there = bags >= 0
    index = bags.long().clamp(min=0)
    sums = torch.nn.functional.embedding_bag(index, table, per_sample_weights=there.to(table.dtype), mode="sum")
    return sums, there.sum(-1) // len(LENGTHS)
