"""Dropout with cheap coins: on a CPU, PyTorch takes longer to toss one for each number than a linear layer takes to compute it."""

from __future__ import annotations

import torch
from torch._guards import active_fake_mode

SIDES = 1 << 16
"""A coin is 16 bits of a random number, so four come of one."""


class Coins:
    """Coins that fall anew for each tensor, and once more in the same order after `again`; by PyTorch's seed (Srivastava and others, 2014)."""

    def __init__(self, share: float, seed: int | None = None):
        self.share = share
        if seed is None:
            # Where tensors have no values (a forecast of memory) any coins will do.
            seed = 0 if active_fake_mode() else int(torch.randint(1 << 62, ()))
        self.seed = seed
        self._dice = torch.Generator().manual_seed(self.seed)
        self._least = round(share * SIDES)

    def again(self) -> Coins:
        """The same coins from the first on."""
        return Coins(self.share, self.seed)

    def toss(self, like: torch.Tensor) -> torch.Tensor:
        """Factors for `like`, of its shape: 0 for the share that is dropped, for the others what makes up for it."""
        number = like.numel()
        bits = torch.empty(-(-number // 4), dtype=torch.int64).random_(-(1 << 63), None, generator=self._dice)
        stays = bits.view(torch.int16)[:number].view(like.shape) >= self._least - SIDES // 2
        return stays.to(like.dtype).mul_(SIDES / (SIDES - self._least))

    def drop(self, x: torch.Tensor) -> torch.Tensor:
        """`x` with a share of its numbers dropped."""
        return x * self.toss(x)


class Dropout(torch.nn.Dropout):
    """As PyTorch's, where another device than a CPU computes."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return dropped(input, self.p, self.training)


def dropped(x: torch.Tensor, share: float, training: bool) -> torch.Tensor:
    """`x` with `share` of its numbers dropped while `training`."""
    if not (training and share):
        return x
    if x.device.type != "cpu":
        return torch.nn.functional.dropout(x, share)
    return Coins(share).drop(x)
