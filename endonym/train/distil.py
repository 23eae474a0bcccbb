"""Several models as one: the mean of their probabilities, and the loss by which another model learns from it.

Shapes: N learned tokens, V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils.checkpoint import checkpoint

from endonym.train.batches import Loss, Packed
from endonym.train.losses import chunk_size, next_token, states
from endonym.train.network import computing


def together(members: Sequence[Any]) -> Loss:
    """The loss of the ensemble: summed -log of the mean of the members' probabilities; the model it is called with takes no part."""

    def loss(model: torch.nn.Module, batch: Packed) -> torch.Tensor:
        with torch.no_grad():
            told = [-_each(member, batch) for member in members]
            mean: torch.Tensor = torch.stack(told).logsumexp(0) - torch.tensor(float(len(members))).log()
            return -mean.sum()

    return loss


def distilled(members: Sequence[Any], share: float) -> Loss:
    """The summed cross-entropy of a model against `share` of the mean of the members' probabilities and, for the rest, the next token.

    Hinton and others, Distilling the Knowledge in a Neural Network (2015), at temperature 1 and with the mean of an ensemble for
    the teacher. Where nothing is learned, in an evaluation, it is the loss of the next token alone.
    """

    def loss(model: torch.nn.Module, batch: Packed) -> torch.Tensor:
        if not model.training or isinstance(batch.ids, FakeTensor):
            return next_token(model, batch)
        with torch.no_grad():
            known = [_states(member, batch) for member in members]
        with computing(model):
            own = states(model, batch)
        head = model.get_output_embeddings()  # type: ignore[operator]
        size = chunk_size(own.device, head.weight.shape[0])
        parts = zip(own.split(size), batch.targets.split(size), *(k.split(size) for k in known), strict=True)
        return torch.stack([_taught(model, head, members, share, *part) for part in parts]).sum()

    return loss


def _taught(
    model: Any,
    head: Any,
    members: Sequence[Any],
    share: float,
    own: torch.Tensor,
    right: torch.Tensor,
    *known: torch.Tensor,
) -> torch.Tensor:
    """The loss of some positions; logits are computed again on the way back, and the members' probabilities not."""
    with torch.no_grad():
        wanted = torch.stack([_probabilities(m, k) for m, k in zip(members, known, strict=True)]).mean(0).mul_(share)
        wanted.scatter_add_(1, right[:, None], wanted.new_full((len(right), 1), 1 - share))

    def one(part: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        with computing(model):
            logits = head(part)
        return torch.nn.functional.cross_entropy(logits.float(), target, reduction="sum")

    found: torch.Tensor = checkpoint(one, own, wanted, use_reentrant=False)
    return found


def _states(member: Any, batch: Packed) -> torch.Tensor:
    with computing(member):
        return states(member, batch)


def _probabilities(member: Any, known: torch.Tensor) -> torch.Tensor:
    with computing(member):
        return member.get_output_embeddings()(known).float().softmax(-1)


def _each(member: Any, batch: Packed) -> torch.Tensor:
    """-log of the probability a member gives each learned token, (N,)."""
    known = _states(member, batch)
    size = chunk_size(known.device, member.get_output_embeddings().weight.shape[0])
    return torch.cat(
        [
            -_probabilities(member, part).gather(1, right[:, None])[:, 0].log()
            for part, right in zip(known.split(size), batch.targets.split(size), strict=True)
        ]
    )
