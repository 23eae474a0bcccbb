"""A router that needs no training: from what a frozen base makes of a text, and from its words, to the module it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from endonym.models.nets.words import KEYS, LENGTHS, MOST, bag, keys_of, keys_of_row, log_odds, summed

TEMPERATURES = tuple(2.0**k for k in range(-8, 3))
WEIGHTS = (0.0, *(2.0**k for k in range(-10, 1)))
"""Of words beside states, which of them is best is seen on held texts."""
POWERS = (0.0, 0.25, 0.5)
"""Of the number of words, by which their sum is divided: words of a text say the same thing more than once."""
NEVER = -1e9
"""Score that nothing is below."""
SMALLEST = 1e-6
"""Standard deviation below which a feature counts as constant."""


class Evidence(torch.nn.Module):
    """What the router knows of one module: mean and covariance of its texts' states, how often each run of words stands in them, and some
    texts that were kept apart.

    That is all it needs, so a module can be added or taken out without the texts of any other, and the router is then
    exactly what it would be had it been fitted without it.
    """

    mean: torch.Tensor
    covariance: torch.Tensor
    words: torch.Tensor
    held: torch.Tensor
    held_words: torch.Tensor

    def __init__(self, width: int, num_held: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float32))
        self.register_buffer("covariance", torch.zeros(width, width, dtype=torch.float32))
        self.register_buffer("words", torch.zeros(KEYS, dtype=torch.int32))
        self.register_buffer("held", torch.zeros(num_held, width, dtype=torch.float32))
        self.register_buffer("held_words", torch.full((num_held, MOST * len(LENGTHS)), -1, dtype=torch.int16))

    def learn(
        self,
        states: torch.Tensor,
        held: torch.Tensor,
        rows: Sequence[Sequence[int]] = (),
        held_rows: Sequence[Sequence[int]] = (),
    ) -> None:
        """Take mean `states` (n, D) and the ids of whole `rows` to learn from, and `held` (m, D) to calibrate by, each of which is what one
        of the m `held_rows` comes to."""
        where = self.mean.device
        wide = states.double()
        mean = wide.mean(0)
        self.mean.copy_(mean)
        self.covariance.copy_((wide - mean).T @ (wide - mean) / len(wide))
        self.held = held.float().to(where)
        keys = [keys_of_row(row).flatten() for row in rows]
        self.words.copy_(torch.bincount(torch.cat([*keys, torch.zeros(0, dtype=torch.long)]), minlength=KEYS))
        bags = [bag(row) for row in held_rows] or [bag(()) for _ in held]
        self.held_words = torch.stack(bags).to(where)


class Router(torch.nn.Module):
    """Scores of N modules: linear in a text's standardised mean state (D numbers), 1 for what is of a module and 0 for what is not, and
    on top of it how much more often the module's texts have its words than others have.

    Features are (..., D + N + 1): a mean state, and for each module and for general texts the log-odds of the words read so far, divided by
    a power of their number. Where general texts were shown, they are one class more, which has no module.
    """

    weight: torch.nn.Parameter
    bias: torch.nn.Parameter
    mean: torch.Tensor
    scale: torch.Tensor
    table: torch.Tensor
    word_weight: torch.Tensor
    word_power: torch.Tensor
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
        self.register_buffer("table", torch.zeros(KEYS, number + 1, dtype=torch.float32))
        for name, value in (("word_weight", 0.0), ("word_power", 0.0), ("temperature", 1.0), ("threshold", 0.0)):
            self.register_buffer(name, torch.full((), value, dtype=torch.float32))
        self.register_buffer("general_weight", torch.zeros(width, dtype=torch.float32))
        self.register_buffer("general_bias", torch.full((), NEVER, dtype=torch.float32))

    def words(self, recent: torch.Tensor) -> torch.Tensor:
        """What tokens say of each module and of general texts, (T, N + 1), from the last tokens up to each, (T, 2)."""
        return self.table[keys_of(recent)].sum(-2)

    def features(self, sums: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Features of sums (..., D + N + 1) over `counts` (...,) tokens, in float32."""
        width, number = len(self.mean), counts[..., None].to(sums.dtype)
        return torch.cat([sums[..., :width] / number, sums[..., width:] / number**self.word_power], dim=-1).float()

    def scores(self, features: torch.Tensor) -> torch.Tensor:
        """Scores (..., N) of features (..., D + N + 1), in float32 whatever the arithmetic around it."""
        width = len(self.mean)
        with torch.autocast(features.device.type, enabled=False):
            states, words = features[..., :width].float(), features[..., width:-1].float()
            linear = torch.nn.functional.linear((states - self.mean) / self.scale, self.weight, self.bias)
            return linear + self.word_weight * words

    def floor(self, features: torch.Tensor) -> torch.Tensor:
        """What a module must score at least to take part, (...,): the threshold, or what general text scores if that is more."""
        return self.general_score(features).clamp(min=self.threshold)

    def general_score(self, features: torch.Tensor) -> torch.Tensor:
        """What general text scores on features (..., D + N + 1), (...,)."""
        width = len(self.mean)
        with torch.autocast(features.device.type, enabled=False):
            standard = (features[..., :width].float() - self.mean) / self.scale
            return standard @ self.general_weight + self.general_bias + self.word_weight * features[..., -1].float()

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
        """Fit by (C + ridge I)⁻¹ over standardised states and by counts of words, each module alike; one row for each of `evidence`.

        Then weight and power of the words and the temperature are those under which held texts are least surprising, and `unknown` of the
        modules' fall below the threshold. What general text scores is raised until at most `passed` of its held texts, their beginnings
        included, go to a module.
        Ridge regression on one-hot labels: Hoerl and Kennard 1970; as a router without training: DUME, arXiv 2603.29765. Words: naive
        Bayes (McCallum and Nigam 1998).
        """
        classes = [*evidence, *([general] if general is not None else [])]
        number = len(classes)
        self.weight.data = self.weight.new_zeros(len(evidence), len(self.mean))
        self.bias.data = self.bias.new_full((len(evidence),), 1 / max(1, number))
        self.table = self.table.new_zeros(KEYS, len(evidence) + 1)
        self.threshold.fill_(NEVER)
        self.general_bias.fill_(NEVER)
        if number < 2 or not evidence:
            return
        self._regress(classes, ridge, len(evidence))
        self.table[:, :number] = log_odds(torch.stack([e.words for e in classes]))
        if general is not None:
            self.general_bias.fill_(1 / number)
        held = self._calibrate(classes)
        own = [found for found in held[: len(evidence)] if len(found)]
        if unknown and own:
            self.threshold.fill_(float(self.scores(torch.cat(own)).amax(-1).double().quantile(unknown)))
        if general is not None and len(general.held):
            best, score = self.scores(held[-1]).amax(-1), self.general_score(held[-1])
            lead = torch.where(best >= self.threshold, best - score, 0.0)
            self.general_bias.add_(float(lead.double().quantile(1 - passed, interpolation="higher").clamp(min=0)))

    def _regress(self, classes: Sequence[Evidence], ridge: float, number: int) -> None:
        """Weights of the states; the first `number` of the classes are modules."""
        means = torch.stack([e.mean for e in classes]).double()
        centre = means.mean(0)
        away = means - centre
        covariance = torch.stack([e.covariance for e in classes]).double().mean(0) + away.T @ away / len(classes)
        scale = covariance.diagonal().sqrt().clamp_min(SMALLEST)
        away = away / scale
        correlation = covariance / scale / scale[:, None]
        correlation.diagonal().add_(ridge)
        weight = torch.linalg.solve(correlation, away.T / len(classes)).T.float().contiguous()
        self.weight.data = weight[:number].clone()
        self.general_weight.copy_(weight[-1] if number < len(classes) else torch.zeros_like(weight[-1]))
        self.mean.copy_(centre)
        self.scale.copy_(scale)

    def _calibrate(self, classes: Sequence[Evidence]) -> list[torch.Tensor]:
        """Choose temperature, and weight and power of the words, by cross-entropy of held texts; returns the features of each class's."""
        said = [summed(self.table, e.held_words) for e in classes]

        def features(power: float) -> list[torch.Tensor]:
            parts = ((e.held, s, n.clamp(min=1)[:, None]) for e, (s, n) in zip(classes, said, strict=True))
            return [torch.cat([states, s / n**power], dim=-1) for states, s, n in parts]

        labels = torch.cat([torch.full((len(e.held),), n, device=e.held.device) for n, e in enumerate(classes)])
        if len(labels):
            self.word_weight.zero_()
            plain = torch.cat(features(1.0))
            linear = torch.cat([self.scores(plain), self.general_score(plain)[:, None]], dim=-1)[:, : len(classes)]
            found = []
            for power in POWERS:
                words = torch.cat(features(power))[:, len(self.mean) :][:, : len(classes)]
                for weight in WEIGHTS:
                    for t in TEMPERATURES:
                        loss = torch.nn.functional.cross_entropy((linear + weight * words) / t, labels)
                        found.append((float(loss), weight, power, t))
            for own, value in zip((self.word_weight, self.word_power, self.temperature), min(found)[1:], strict=True):
                own.fill_(value)
        return features(float(self.word_power))


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
