"""The loss of a network that cuts its text into chunks, with a watch over how long they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch._subclasses.fake_tensor import FakeTensor

from endonym.errors import JobError
from endonym.models.generate import decoder
from endonym.models.nets.chunks import Cut, ratio_loss
from endonym.train.batches import Loss, Packed
from endonym.train.losses import next_token

if TYPE_CHECKING:
    from endonym.jobs.job import Job

NEAR, FAR = 1.2, 2.0
"""By which factor the length of chunks may miss what was wanted before a run warns, and before it stops."""
SETTLED = 100
"""Steps that a router is given to find that length; and half of the run."""


class Chunked:
    """A loss, cross-entropy where none is given, in training with the ratio loss of a router; remembers how long the chunks were since it
    was last asked."""

    def __init__(self, target: float, weight: float, last_step: int, job: Job, inner: Loss = next_token):
        self._target, self._weight, self._last_step, self._job, self._inner = target, weight, last_step, job, inner
        self._learned = self._begun = self._ratio = 0.0
        self._routed = False

    def loss(self, model: torch.nn.Module, batch: Packed) -> torch.Tensor:
        """Summed over learned bytes; the ratio loss of a row counts as often as it has learned bytes, so packing changes nothing."""
        total = self._inner(model, batch)
        cut: Cut | None = getattr(decoder(model), "cut", None)
        if cut is None or not model.training:
            return total
        starts = torch.tensor([piece.start for piece in batch.pieces], device=batch.ids.device)
        row = torch.bucketize(batch.predicting, starts, right=True) - 1
        learned = torch.zeros(len(starts), device=starts.device).index_add(
            0, row, torch.ones_like(row, dtype=torch.float32)
        )
        ratio = None if cut.p is None else ratio_loss(cut, self._target, learned)
        if not isinstance(total, FakeTensor):
            self._learned += batch.num_learned
            self._begun += float((cut.begun * learned).sum())
            self._routed = ratio is not None
            self._ratio += 0.0 if ratio is None else float(ratio.detach())
        return total if ratio is None else total + self._weight * ratio

    def watch(self, step: int) -> None:
        """Tell how long the chunks of the steps since the last time were.

        Of a router that has had its time, a run warns where that is far from what was wanted, and raises JobError where it is very far:
        one that cuts everywhere or nowhere has learned nothing, and does not come back.
        """
        if not self._learned:
            return
        length = self._learned / max(self._begun, 1e-9)
        self._job.metric("bytes_per_chunk", length, step)
        said = f"step {step}: {length:.1f} bytes a chunk"
        if self._routed:
            self._job.metric("ratio_loss", self._ratio / self._learned, step)
            said += f", {self._target:g} were wanted; ratio loss {self._ratio / self._learned:.3f}"
        self._job.log(said)
        self._learned = self._begun = self._ratio = 0.0
        if not self._routed or step < max(SETTLED, self._last_step / 2):
            return
        missed = max(length / self._target, self._target / length)
        if missed > FAR:
            raise JobError(
                f"the router makes chunks of {length:.1f} bytes where {self._target:g} were wanted",
                "Use --chunks space, or a larger --ratio-weight, or a lower --learning-rate.",
            )
        if missed > NEAR:
            self._job.event("warning", text=f"{said}: the router is far from that")
