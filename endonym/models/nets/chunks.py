"""Where a text is cut into chunks, by rule or by a router that learns it, and what smooths and balances what the router says.

No cut depends on a byte that comes later. Shapes: T bytes of R rows, M chunks, D width.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch._subclasses.fake_tensor import FakeTensor

from endonym.models.byte_tokenizer import OFFSET, PAD

KINDS = ("none", "space", "char", "fixed", "dynamic")
BACK = 6
"""Ids that a rule looks back over, its own byte included: two characters of three bytes."""
LETTERS_TOO = [ord(mark) for mark in "'\u2018\u2019"]
"""Apostrophes: in many languages they are letters, and a word does not end at them."""
SURE = 1e-4
"""A probability in the smoothing stays so far from 0 and 1."""


@dataclass(frozen=True)
class Cut:
    """Where chunks begin. In each row the first byte begins one."""

    begins: torch.Tensor
    """(T,), bool."""
    p: torch.Tensor | None
    """(T,) in float32: what the router says; None for rules."""
    rows: torch.Tensor
    """(T,): the number of each byte's row."""
    num_rows: int

    @property
    def begun(self) -> torch.Tensor:
        """Of each row, the share of its bytes that begin a chunk; shape (R,)."""
        return self._mean(self.begins)

    @property
    def expected(self) -> torch.Tensor:
        """Of each row, how probable the router finds on the mean that a byte begins a chunk; shape (R,)."""
        assert self.p is not None
        return self._mean(self.p)

    def _mean(self, values: torch.Tensor) -> torch.Tensor:
        none = torch.zeros(self.num_rows, device=values.device)
        size = none.index_add(0, self.rows, torch.ones_like(values, dtype=none.dtype))
        return none.index_add(0, self.rows, values.float()) / size.clamp(min=1)


def by_rule(kind: str, recent: torch.Tensor, positions: torch.Tensor, stride: int) -> torch.Tensor:
    """Which bytes begin a chunk, (T,); `recent` (T, `BACK` or more) is a `history`, the newest id first.

    `space`: the last byte of a space or punctuation mark that follows a letter, so that the chunk's state has seen the word before
    it (Slagle, SpaceByte, 2024), and every mark of a conversation. `char`: the first byte of a character. `fixed`: every `stride`-th byte.
    """
    value = recent - OFFSET
    if kind == "fixed":
        return positions % stride == 0
    if kind == "char":
        return (positions == 0) | ((value[:, 0] & 0xC0 != 0x80) & (recent[:, 0] != PAD))
    separates, length = _separates(value)
    mark = (value[:, 0] < 0) & (recent[:, 0] != PAD)
    return (positions == 0) | mark | (separates[:, 0] & ~separates.gather(1, length[:, :1])[:, 0])


def completes(recent: torch.Tensor) -> torch.Tensor:
    """Which bytes end a character, (T,); a stray byte and a mark of a conversation do. `recent` as for `by_rule`."""
    value = recent[:, :4] - OFFSET
    going_on = value & 0xC0 == 0x80
    needed = 1 + sum((value >= least).long() for least in (0xC0, 0xE0, 0xF0))
    ends = torch.ones_like(going_on[:, 0])
    inside = torch.ones_like(ends)
    for back in range(4):
        # The byte at which the character began, if all since go on.
        here = inside & ~going_on[:, back]
        ends = (here & (needed[:, back] <= back + 1)) | (~here & ends)
        inside = inside & going_on[:, back]
    return ends


def _separates(value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Whether the bytes 0 to 3 before each end a character that stands between words, and how many bytes that one has (1 to 3); (T, 4)."""
    last, second, third = (value[:, back : back + 4].clamp(min=0) for back in range(3))
    two = (second >> 5 == 0b110) & (last >> 6 == 0b10)
    three = (third >> 4 == 0b1110) & (second >> 6 == 0b10) & (last >> 6 == 0b10)
    code = torch.where(two, (second & 31) << 6 | (last & 63), torch.where(last < 128, last, ord("a")))
    code = torch.where(three, (third & 15) << 12 | (second & 63) << 6 | (last & 63), code)
    known = torch.from_numpy(_separators()).to(value.device)[code]
    return known | (value[:, :4] < 0), 1 + two.long() + 2 * three.long()


@lru_cache(maxsize=1)
def _separators() -> npt.NDArray[np.bool_]:
    """Of each character below U+10000, whether it is a space, a control or a punctuation mark; in all scripts.

    By Unicode 3.2, which every Python brings: a later version must not move the chunks of a trained model.
    """
    kind = unicodedata.ucd_3_2_0.category
    kinds = [kind(chr(code)) for code in range(0x10000)]
    return np.array([k[0] in "ZP" or k in ("Cc", "Cf") for k in kinds]) & ~np.isin(np.arange(0x10000), LETTERS_TOO)


class Router(torch.nn.Module):
    """How probable it is that a chunk begins: half of one minus the cosine between a byte's state and the one before it.

    Hwang, Wang and Gu, Dynamic Chunking for End-to-End Hierarchical Sequence Modeling, 2025. All in float32: in bf16 the
    probabilities round to 1.
    """

    def __init__(self, width: int):
        super().__init__()
        self.query = torch.nn.Linear(width, width, bias=False)
        self.key = torch.nn.Linear(width, width, bias=False)

    def forward(self, x_TD: torch.Tensor, before_TD: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
        """Shapes: `before_TD` are the states one byte earlier, `first` (T,) says where a row begins, which is certain."""
        with torch.autocast(x_TD.device.type, enabled=False):
            like = torch.cosine_similarity(self.query(x_TD.float()), self.key(before_TD.float()), dim=-1)
            return torch.where(first, 1.0, ((1 - like) / 2).clamp(0, 1))


def counted(begins: torch.Tensor, lengths: Sequence[int], usual: int) -> tuple[torch.Tensor, list[int]]:
    """Where chunks begin, (M,), and how many each row has; of tensors without values (a forecast of memory), as many as is usual."""
    if isinstance(begins, FakeTensor):
        counts = [-(-length // usual) for length in lengths]
        return torch.zeros(sum(counts), dtype=torch.long, device=begins.device), counts
    parts = begins.split(list(lengths))
    return begins.nonzero()[:, 0], torch.stack([part.sum() for part in parts]).tolist()


def smoothed(
    z_MD: torch.Tensor, p_M: torch.Tensor, row: torch.Tensor, place: torch.Tensor, shape: tuple[int, int]
) -> torch.Tensor:
    """y_m = p_m z_m + (1 - p_m) y_(m-1) within each row, in float32; where a chunk is not certain it takes from the one before it.

    `row` and `place` (M,) say which chunk of which row each is; `shape` is how many rows there are, and how many chunks the longest
    has. All at once, as a product with the decays between any two chunks, whose logarithms are summed (Dao and Gu, Mamba-2, 2024).
    """
    with torch.autocast(z_MD.device.type, enabled=False):
        p = torch.ones(shape, device=z_MD.device).index_put((row, place), _bounded(p_M, place))
        z = torch.zeros(*shape, z_MD.shape[1], device=z_MD.device).index_put((row, place), z_MD.float())
        falls = torch.log1p(-p.clamp(max=1 - SURE))[:, :, None].expand(*shape, shape[1])
        below = torch.ones(shape[1], shape[1], dtype=torch.bool, device=p.device).tril(-1)
        decays = falls.masked_fill(~below, 0).cumsum(1).exp().tril()
        return ((decays * p[:, None, :]) @ z)[row, place]


def _bounded(p_M: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """A row's first chunk has none before it, and takes from none."""
    return torch.where(place == 0, 1.0, p_M.float().clamp(SURE, 1 - SURE))


def straight(p_T: torch.Tensor, begins: torch.Tensor) -> torch.Tensor:
    """1 for every byte, with the gradient of how sure the router was of what it did there (Bengio and others, 2013)."""
    sure = torch.where(begins, p_T, 1 - p_T)
    return sure + (1 - sure).detach()


def ratio_loss(cut: Cut, target: float, weights: torch.Tensor) -> torch.Tensor:
    """Sum over rows of N / (N - 1) ((N - 1) F G + (1 - F) (1 - G)), each times its weight (R,); 1 a unit of weight at the target.

    F is the share of bytes that begin a chunk, G the mean probability that they do, N the wanted bytes a chunk. The paper takes F
    and G of a whole batch; by row, the sum is the same however rows are packed.
    """
    begun, expected = cut.begun, cut.expected
    one = ((target - 1) * begun * expected + (1 - begun) * (1 - expected)) * target / (target - 1)
    return (one * weights).sum()
