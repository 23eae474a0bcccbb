"""The steps of a short comparative training: AdamW, warm-up over a tenth of them, then down to nothing in a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch


def descend(
    weights: Iterable[torch.nn.Parameter],
    steps: int,
    learning_rate: float,
    weight_decay: float,
    gradients: Callable[[int], float],
    progress: Callable[[int, int, float], None],
    cancelled: Callable[[], bool],
) -> int:
    """Take `steps` steps, unless cancelled; `gradients(step)` leaves those of a step (from 0) and returns its loss. Returns the steps taken."""
    learned = list(weights)
    optimizer = torch.optim.AdamW(learned, lr=learning_rate, betas=(0.9, 0.95), weight_decay=weight_decay)
    warm, step = max(1, steps // 10), 0
    while step < steps and not cancelled():
        value = gradients(step)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min((step + 1) / warm, (steps - step) / max(1, steps - warm))
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        progress(step, steps, value)
    return step
