"""A router that needs no training: ridge regression from what a frozen base makes of a text to the module it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

TEMPERATURES = tuple(2.0**k for k in range(-8, 3))
NEVER = -1e9
"""Score that nothing is below."""
SMALLEST = 1e-6
"""Standard deviation below which a feature counts as constant."""


class Evidence(torch.nn.Module):
    """What the router knows of one module: mean and covariance of its texts' features, and some texts that were kept apart.

    That is all the regression needs, so a module can be added or taken out without the texts of any other, and the router is then
    exactly what it would be had it been fitted without it.
    """

    mean: torch.Tensor
    covariance: torch.Tensor
    held: torch.Tensor

    def __init__(self, width: int, num_held: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float32))
        self.register_buffer("covariance", torch.zeros(width, width, dtype=torch.float32))
        self.register_buffer("held", torch.zeros(num_held, width, dtype=torch.float32))

    def learn(self, features: torch.Tensor, held: torch.Tensor) -> None:
        """Take `features` (texts, D) of the module's texts to learn from, and `held` (texts, D) to calibrate by."""
        wide = features.double()
        mean = wide.mean(0)
        self.mean.copy_(mean)
        self.covariance.copy_((wide - mean).T @ (wide - mean) / len(wide))
        self.held = held.float().to(self.mean.device)


class Router(torch.nn.Module):
    """Scores of N modules from features (..., D): linear in the standardised features, 1 for what is of a module and 0 for what is not.

    Where general texts were shown to it, they are one class more, which has no module.
    """

    weight: torch.nn.Parameter
    bias: torch.nn.Parameter
    mean: torch.Tensor
    scale: torch.Tensor
    temperature: torch.Tensor
    threshold: torch.Tensor
    general_weight: torch.Tensor
    general_bias: torch.Tensor

    def __init__(self, number: int, width: int):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(number, width, dtype=torch.float32), requires_grad=False)
        self.bias = torch.nn.Parameter(torch.zeros(number, dtype=torch.float32), requires_grad=False)
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float32))
        self.register_buffer("scale", torch.ones(width, dtype=torch.float32))
        self.register_buffer("temperature", torch.ones((), dtype=torch.float32))
        self.register_buffer("threshold", torch.zeros((), dtype=torch.float32))
        self.register_buffer("general_weight", torch.zeros(width, dtype=torch.float32))
        self.register_buffer("general_bias", torch.full((), NEVER, dtype=torch.float32))

    def scores(self, features: torch.Tensor) -> torch.Tensor:
        """Scores (..., N) of features (..., D), in float32 whatever the arithmetic around it."""
        with torch.autocast(features.device.type, enabled=False):
            standard = (features.float() - self.mean) / self.scale
            return torch.nn.functional.linear(standard, self.weight, self.bias)

    def floor(self, features: torch.Tensor) -> torch.Tensor:
        """What a module must score at least to take part, (...,): the threshold, or what general text scores if that is more."""
        return self.general_score(features).clamp(min=self.threshold)

    def general_score(self, features: torch.Tensor) -> torch.Tensor:
        """What general text scores on features (..., D), (...,)."""
        with torch.autocast(features.device.type, enabled=False):
            standard = (features.float() - self.mean) / self.scale
            return standard @ self.general_weight + self.general_bias

    def gates(self, features: torch.Tensor, top_k: int, known: torch.Tensor) -> torch.Tensor:
        """How strongly each module takes part, (..., N): the `top_k` best share 1, and none does where the best is below the `floor`.

        `known` (N,) says which modules there are to choose from.
        """
        scores = self.scores(features).masked_fill(~known, -torch.inf)
        number = len(known) if torch.compiler.is_exporting() else int(known.sum())
        best, which = scores.topk(min(top_k, number), dim=-1)
        shares = torch.softmax(best / self.temperature, dim=-1)
        shares = torch.where(best[..., :1] >= self.floor(features)[..., None], shares, 0.0)
        return torch.zeros_like(scores).scatter(-1, which, shares)

    @torch.no_grad()
    def solve(
        self,
        evidence: Sequence[Evidence],
        ridge: float,
        unknown: float,
        general: Evidence | None = None,
        passed: float = 1.0,
    ) -> None:
        """Fit by (C + ridge I)⁻¹ over standardised features, each module counting alike; one row for each of `evidence`.

        Then the temperature is the one under which held texts are least surprising, and `unknown` of them fall below the threshold. What
        general text scores is raised until at most `passed` of its held features, beginnings of texts included, go to a module.
        Ridge regression on one-hot labels: Hoerl and Kennard 1970; as a router without training: DUME, arXiv 2603.29765.
        """
        classes = [*evidence, *([general] if general is not None else [])]
        number = len(classes)
        self.weight.data = self.weight.new_zeros(len(evidence), len(self.mean))
        self.bias.data = self.bias.new_full((len(evidence),), 1 / max(1, number))
        self.threshold.fill_(NEVER)
        self.general_bias.fill_(NEVER)
        if number < 2 or not evidence:
            return
        means = torch.stack([e.mean for e in classes]).double()
        centre = means.mean(0)
        away = means - centre
        covariance = torch.stack([e.covariance for e in classes]).double().mean(0) + away.T @ away / number
        scale = covariance.diagonal().sqrt().clamp_min(SMALLEST)
        away = away / scale
        correlation = covariance / scale / scale[:, None]
        correlation.diagonal().add_(ridge)
        weight = torch.linalg.solve(correlation, away.T / number).T.float().contiguous()
        self.weight.data = weight[: len(evidence)].clone()
        if general is not None:
            self.general_weight.copy_(weight[-1])
            self.general_bias.fill_(1 / number)
        self.mean.copy_(centre)
        self.scale.copy_(scale)
        self._calibrate(evidence, unknown)
        if general is not None and len(general.held):
            best, own = self.scores(general.held).amax(-1), self.general_score(general.held)
            lead = torch.where(best >= self.threshold, best - own, 0.0)
            self.general_bias.add_(float(lead.double().quantile(1 - passed, interpolation="higher").clamp(min=0)))

    def _calibrate(self, evidence: Sequence[Evidence], unknown: float) -> None:
        held = [self.scores(e.held) for e in evidence if len(e.held)]
        if not held:
            return
        scores = torch.cat(held)
        labels = torch.cat([torch.full((len(e.held),), n, device=scores.device) for n, e in enumerate(evidence)])
        losses = [float(torch.nn.functional.cross_entropy(scores / t, labels)) for t in TEMPERATURES]
        self.temperature.fill_(TEMPERATURES[losses.index(min(losses))])
        if unknown:
            self.threshold.fill_(float(scores.amax(-1).double().quantile(unknown)))


@dataclass(frozen=True)
class Terms:
    """What a router is judged by, each summed over tokens."""

    alignment: torch.Tensor
    """Cross-entropy in nats against the module that a token's text belongs to; tokens without one count nothing."""
    balance: torch.Tensor
    """N Σ fᵢ Pᵢ (Fedus and others, Switch Transformers, 2021), f the share of all texts that a module gets, P what a token is given."""
    z: torch.Tensor
    """Square of the logarithm of Σ exp (Zoph and others, ST-MoE, 2022), which keeps scores small."""


def terms(logits: torch.Tensor, labels: torch.Tensor, shares: torch.Tensor) -> Terms:
    """The terms of tokens with `logits` (T, N) and `labels` (T,), -1 where none is known; `shares` (N,) sum to 1.

    The shares are those of the whole of the training texts and stand still, so that a sum over tokens is the same however they are packed.
    """
    alignment = torch.nn.functional.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
    balance = logits.shape[-1] * (torch.softmax(logits, dim=-1) * shares).sum()
    z = torch.logsumexp(logits, dim=-1).square().sum()
    return Terms(alignment, balance, z)
