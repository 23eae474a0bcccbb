"""One optimiser step over packed rows, taken only when its loss and gradient are credible; and the mean loss of many rows."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from endonym.models.render import Example
from endonym.train.batches import Loss, micro_batches, pack
from endonym.train.network import arithmetic, standing
from endonym.train.settings import SCALE, FitConfig
from endonym.train.sharded import world

WIDEN = 2000
"""Every so many steps a scale of the loss that was halved is tried twice as large again."""
RECENT = 16
"""Steps whose losses say what is usual."""


@dataclass(frozen=True)
class Taken:
    """What came of a step: mean loss, tokens seen and learned, whether the weights were changed, and the next step's scale of the loss."""

    loss: float
    seen: int
    learned: int
    fine: bool
    scale: float = SCALE


def take(
    model: torch.nn.Module,
    examples: Sequence[Example],
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    weights: dict[str, torch.nn.Parameter],
    step: int,
    recent: Sequence[float],
    cfg: FitConfig,
    after_pack: Callable[[], object] = lambda: None,
    scale: float = SCALE,
) -> Taken:
    """Optimiser step number `step` (from 0), or none when its loss is not credible after the `recent` ones, or its gradient no number.

    `after_pack` is called when a pack has gone forward and back. In fp16 the loss is multiplied by `scale` on its way back, so that small
    gradients are not rounded to nothing, and divided again; where they become too large for it, the step is computed again with half
    the scale (Micikevicius and others, Mixed Precision Training, ICLR 2018).
    """
    model.train()
    device = next(model.parameters()).device
    packs = [pack(rows, device) for rows in world().deal(micro_batches(examples, cfg.batch_tokens, world().size))]
    learned = int(world().sums(sum(p.num_learned for p in packs))[0])
    narrow = arithmetic(model) == torch.float16
    own = scale if narrow else 1.0
    while True:
        total = 0.0
        for batch in packs:
            with standing(model):
                part = loss(model, batch)
                (part / learned * own).backward()
            total += float(part.detach())
            del part
            after_pack()
        total = world().sums(total)[0]
        gradients = [p.grad for p in weights.values() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients) / own
        if own <= 1 or math.isfinite(float(norm)) or not math.isfinite(total):
            break
        own /= 2
        optimizer.zero_grad(set_to_none=True)
    if own != 1:
        for gradient in gradients:
            gradient.div_(own)
    fine = math.isfinite(float(norm)) and credible(total / learned, recent)
    if fine:
        if cfg.clip:
            torch.nn.utils.clip_grads_with_norm_(weights.values(), cfg.clip, norm)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, cfg) * group["rate"]
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    if narrow:
        scale = min(SCALE, 2 * own) if (step + 1) % WIDEN == 0 else own
    return Taken(total / learned, sum(len(e.ids) for e in examples), learned, fine, scale)


def credible(value: float, recent: Sequence[float]) -> bool:
    """Whether a step's loss is a number and no leap: above twice the median of the recent ones plus one nat, and far outside
    their spread (twelve median absolute deviations)."""
    if not math.isfinite(value):
        return False
    if len(recent) < RECENT:
        return True
    middle = statistics.median(recent)
    spread = statistics.median(abs(x - middle) for x in recent)
    return value <= max(2 * middle + 1, middle + 12 * spread)


def mean_loss(model: torch.nn.Module, examples: Sequence[Example], loss: Loss, batch_tokens: int) -> float:
    """Mean loss in nats per learned token over `examples`, without dropout or gradients."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    total, count = 0.0, 0.0
    with torch.no_grad():
        for rows in world().deal(micro_batches(examples, batch_tokens, world().size)):
            batch = pack(rows, device)
            total += float(loss(model, batch))
            count += batch.num_learned
    total, count = world().sums(total, count)
    model.train(was_training)
    return total / max(count, 1)


def learning_rate(step: int, cfg: FitConfig) -> float:
    """Learning rate of step `step` (from 0): linear warm-up, then half a cosine or a line down to `final` of the highest, or no fall."""
    warm = cfg.warmup_steps or max(1, round(cfg.warmup * cfg.steps))
    if step < warm:
        return cfg.learning_rate * (step + 1) / warm
    done = min(1.0, (step - warm) / max(1, cfg.steps - warm))
    left = {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}[cfg.schedule]
    return cfg.learning_rate * (cfg.final + (1 - cfg.final) * left)


def adamw(
    weights: dict[str, torch.nn.Parameter], cfg: FitConfig, rates: Mapping[str, float] | None = None
) -> torch.optim.Optimizer:
    """AdamW that spares vectors the weight decay; a group's `rate` says how many times the learning rate it learns with."""
    # One group a parameter, in the order of `weights`: a checkpoint names optimiser state by position.
    groups = [
        {"params": [p], "weight_decay": cfg.weight_decay if p.ndim >= 2 else 0.0, "rate": (rates or {}).get(name, 1.0)}
        for name, p in weights.items()
    ]
    return torch.optim.AdamW(groups, lr=cfg.learning_rate, betas=(cfg.beta1, cfg.beta2), eps=cfg.epsilon, fused=True)
