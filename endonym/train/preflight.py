"""Checks on the user's own model and rows before step 1; the run stops when one fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from endonym.errors import JobError
from endonym.models.load import device
from endonym.models.nets.domain_bank import DomainBank
from endonym.models.render import IGNORE, Example, Renderer
from endonym.train import recovery
from endonym.train.batches import Largest, Loss, pack
from endonym.train.fit import Rows
from endonym.train.forecast import available_bytes, largest_packs, memory_of
from endonym.train.held import give_back, peak_bytes
from endonym.train.network import arithmetic, attention, recompute, standing
from endonym.train.settings import FitConfig
from endonym.train.sharded import count, world

if TYPE_CHECKING:
    from endonym.jobs.job import Job


OWN = 256
"""Tokens of the row whose loss is compared with transformers' own: about so many, for it needs all logits at once."""


@dataclass(frozen=True)
class Check:
    """One check: what should hold, whether it does, and the measured numbers."""

    name: str
    passed: bool
    detail: str


def preflight(
    model: torch.nn.Module,
    rows: Rows,
    loss: Loss,
    renderer: Renderer,
    cfg: FitConfig,
    job: Job,
    rows_of: Callable[[int], list[int]] | None = None,
    alone: Callable[[Any, Example], Any] | None = None,
) -> list[Check]:
    """Run all checks on the rows of a run, most of them on up to eight, and show each as an event; raises JobError naming those that fail.

    `rows_of` gives the rows of an epoch where a run takes them in an order of its own. Where nothing is written, `alone` gives the loss
    of a row by the network's own forward, and there is no text of answers to look at.
    """
    model.eval()
    met = _fits(model, rows, loss, cfg, job, rows_of)
    examples = rows.examples
    few = _few(examples, recovery.read(job.folder).applied(cfg).batch_tokens)
    written: list[Callable[[], Check]] = [
        lambda: _end_marker(examples, renderer),
        lambda: _round_trip(few, renderer),
    ]
    tests: list[Callable[[], Check]] = [
        *(written if alone is None else []),
        lambda: _unrounded(model, lambda: _as_alone(model, few, loss, alone or _next_tokens)),
        lambda: _unrounded(model, lambda: _packed(model, few, loss)),
        lambda: _masked(model, few, loss),
        lambda: _longest(model, met.packs, loss),
    ]
    checks = []
    for test in tests:
        give_back()
        check = test()
        checks.append(check)
        job.event("check", name=check.name, passed=check.passed, detail=check.detail)
        job.log(f"{'ok' if check.passed else 'FAILED'}: {check.name} ({check.detail})")
    model.zero_grad(set_to_none=True)
    failed = [c for c in checks if not c.passed]
    if failed:
        what = "; ".join(f"{c.name} ({c.detail})" for c in failed)
        raise JobError(
            f"the model failed its checks before training: {what}",
            "This model or its tokenizer cannot be trained as it is.",
        )
    return checks


def _few(examples: Sequence[Example], most_tokens: int) -> list[Example]:
    """Eight examples of all lengths; fewer, without the longest, where together they were more than is computed at once."""
    few = sorted(examples, key=lambda e: len(e.ids))[:: max(1, len(examples) // 8)][:8]
    while len(few) > 2 and sum(len(e.ids) for e in few) > most_tokens:
        few.pop()
    return few


def _fits(
    model: torch.nn.Module,
    rows: Rows,
    loss: Loss,
    cfg: FitConfig,
    job: Job,
    rows_of: Callable[[int], list[int]] | None = None,
) -> Largest:
    """Say how much memory the run will take, and make it lighter where that is more than there is; returns its largest packs.

    Raises JobError when that is not enough either.
    """
    # Already in memory; of several devices each has it whole until the first step.
    held = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
    while True:
        lighter = recovery.read(job.folder)
        if lighter.recompute:
            recompute(model)
        met = largest_packs(rows, lighter.applied(cfg), rows_of)
        needed, _ = memory_of(model, met, loss, count(cfg.devices))
        job.log(f"estimated peak memory {needed}")
        model.foretold_bytes = needed.total  # type: ignore[assignment]
        free = _free_for_each()
        if free is None or needed.total - held - needed.runtime <= free:
            return met
        changed = recovery.lighten(job.folder, cfg)
        if not changed:
            raise JobError(
                f"training would need about {needed}, and {free / 1e9:.1f} GB are free",
                "Use a smaller base, a lower --rank or --max-length, train lora instead of all weights, or close other programs.",
            )
        job.event("warning", text=f"that is more than the {free / 1e9:.1f} GB that are free: {changed}")


def _free_for_each() -> float | None:
    """Memory free for each of the devices that train together, the same number on each; those that are processes share one memory."""
    free = available_bytes()
    if free is None:
        return None
    return world().least(free if device().type == "cuda" else free / world().size)


def _end_marker(examples: Sequence[Example], renderer: Renderer) -> Check:
    stops = set(renderer.stop_ids)
    ending = [e for e in examples if not e.goes_on]
    without = sum(1 for e in ending if not any(label in stops for label in e.labels))
    detail = f"{without} of {len(ending)} rows without an end marker"
    if going_on := len(examples) - len(ending):
        detail += f"; {going_on} go on in another row"
    return Check("every row teaches where to stop", without == 0, detail)


def _round_trip(few: Sequence[Example], renderer: Renderer) -> Check:
    wrong = 0
    for example in few:
        learned = [label for label in example.labels if label != IGNORE]
        answer = learned if example.goes_on else learned[:-1]
        wrong += renderer.answer_ids(renderer.tokenizer.decode(answer, clean_up_tokenization_spaces=False)) != answer
    return Check("answers survive tokenising and back", wrong == 0, f"{wrong} of {len(few)} answers changed")


def _next_tokens(model: Any, row: Example) -> torch.Tensor:
    """The loss of next tokens from all logits of a row."""
    ids, labels = (torch.tensor([values], device=next(model.parameters()).device) for values in (row.ids, row.labels))
    logits = model(input_ids=ids, use_cache=False).logits[0, :-1].float()
    return torch.nn.functional.cross_entropy(logits, labels[0, 1:], ignore_index=IGNORE, reduction="sum")


def _unrounded(model: Any, test: Callable[[], Check]) -> Check:
    """A check in float32 where a router chooses: a choice is all or nothing, so that rounding in 16 bits can turn one that is close."""
    rounded = getattr(model, "compute_dtype", None)
    if rounded is None or not any(isinstance(part, DomainBank) for part in model.modules()):
        return test()
    model.compute_dtype = torch.float32
    try:
        return test()
    finally:
        model.compute_dtype = rounded


def _as_alone(
    model: Any, few: Sequence[Example], loss: Loss, alone: Callable[[Any, Example], Any] = _next_tokens
) -> Check:
    """A row must have the loss that transformers' own forward gives it, with its attention and all of its logits."""
    device = next(model.parameters()).device
    row = max(few, key=lambda e: (len(e.ids) <= OWN, -abs(len(e.ids) - OWN)))
    kind = arithmetic(model)
    low = kind != torch.float32
    with torch.no_grad():
        with standing(model):
            ours = float(loss(model, pack([row], device)))
        with attention(model, "sdpa"), torch.autocast(device.type, dtype=kind if low else None, enabled=low):
            own = float(alone(model, row))
    gap = abs(ours - own) / max(abs(own), 1e-9)
    return Check(
        "a packed row has the loss it has alone", gap < (2e-2 if low else 1e-4), f"{ours:.3f} and {own:.3f} nats"
    )


def _packed(model: torch.nn.Module, few: Sequence[Example], loss: Loss) -> Check:
    """One pack of several rows must give the loss and gradient of as many packs of one."""
    device = next(model.parameters()).device
    together, gradient = _loss_and_gradient(model, [list(few)], loss, device)
    alone, gradient_alone = _loss_and_gradient(model, [[e] for e in few], loss, device)
    gap = abs(together - alone) / max(abs(alone), 1e-9)
    angle = _dot(gradient, gradient_alone) / max(
        1e-30, (_dot(gradient, gradient) * _dot(gradient_alone, gradient_alone)) ** 0.5
    )
    low = arithmetic(model) != torch.float32
    fine = gap < (1e-2 if low else 1e-4) and angle > (0.98 if low else 0.9999)
    return Check(
        f"one batch of {len(few)} equals {len(few)} of one",
        fine,
        f"loss differs by {gap:.1e}, gradients point alike to {angle:.5f}",
    )


def _masked(model: torch.nn.Module, few: Sequence[Example], loss: Loss) -> Check:
    """Rows whose learned tokens are all masked must give no loss and no gradient at all."""
    device = next(model.parameters()).device
    blind = [Example(e.ids, [IGNORE] * len(e.ids)) for e in few]
    value, gradient = _loss_and_gradient(model, [blind], loss, device)
    learned = [sum(label != IGNORE for label in e.labels) for e in few]
    counted = pack(list(few), device).num_learned
    fine = value == 0.0 and not any(g.any() for g in gradient) and counted == sum(learned)
    return Check(
        "masked tokens teach nothing",
        fine,
        f"loss and gradient {value:g} when all are masked; {counted} of {sum(learned)} learned tokens counted",
    )


def _longest(model: torch.nn.Module, packs: Sequence[Sequence[Example]], loss: Loss) -> Check:
    """Rehearse the largest batches of the run, forward and back, so that memory runs out now or not at all."""
    device = next(model.parameters()).device
    tokens = max(sum(len(e.ids) for e in rows) for rows in packs)
    model.train()
    for rows in packs:
        with standing(model):
            loss(model, pack(rows, device)).backward()
    model.zero_grad(set_to_none=True)
    # The optimiser is still to come: two numbers in float32 for every weight that learns.
    coming = 8 * sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Check(
        "the largest batch fits",
        True,
        f"{tokens} tokens; {peak_bytes() / 1e9:.2f} GB were needed, the optimiser will add {coming / 1e9:.2f}",
    )


def _loss_and_gradient(
    model: torch.nn.Module, packs: Sequence[Sequence[Example]], loss: Loss, device: torch.device
) -> tuple[float, list[torch.Tensor]]:
    model.zero_grad(set_to_none=True)
    total = 0.0
    for rows in packs:
        with standing(model):
            value = loss(model, pack(rows, device))
            value.backward()
        total += float(value.detach())
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    model.zero_grad(set_to_none=True)
    return total, grads


def _dot(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> float:
    return sum(float(a.double().flatten() @ b.double().flatten()) for a, b in zip(first, second, strict=True))
