"""The loss of a network with modules: next tokens, and what the router is judged by; every term is told after each evaluation."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from endonym.models.nets.router import terms
from endonym.train.batches import Packed
from endonym.train.losses import next_token

if TYPE_CHECKING:
    from endonym.jobs.job import Job


@dataclass
class Judged:
    """A loss summed over learned tokens. Where the router is not tuned its terms are measured and not learned.

    In evaluation it is the loss of next tokens alone, so that runs of all recipes can be compared.
    """

    alignment: float
    balance: float
    z: float
    shares: torch.Tensor
    """Share of the training texts that each module has, (N,)."""
    tuned: bool
    sums: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def __call__(self, model: Any, batch: Packed) -> torch.Tensor:
        value = next_token(model, batch)
        if not torch.is_grad_enabled():
            return value
        features, labels = model.bank.seen
        router = model.bank.router
        logits = router.scores(features[batch.predicting]) / router.temperature
        found = terms(logits, labels[batch.predicting], self.shares.to(logits.device))
        # What a run needs is foretold with tensors that hold no numbers.
        if type(value.detach()) is torch.Tensor:
            parts = {"language": value, "alignment": found.alignment, "balance": found.balance, "z": found.z}
            for name, part in parts.items():
                self.sums[name] += float(part.detach())
            self.sums["tokens"] += batch.num_learned
        if not self.tuned:
            return value
        return value + self.alignment * found.alignment + self.balance * found.balance + self.z * found.z

    def tell(self, job: Job, step: int) -> None:
        """Add the mean of each term a learned token, since it was last told, to the curves."""
        tokens = self.sums.pop("tokens", 0)
        if step and tokens:
            for name, total in sorted(self.sums.items()):
                job.metric(f"{name}_loss", total / tokens, step)
            told = ", ".join(f"{name} {total / tokens:.4f}" for name, total in sorted(self.sums.items()))
            job.log(f"step {step}: a learned token: {told}")
        self.sums.clear()
