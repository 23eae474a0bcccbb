"""Make a trained decoder deeper and wider: losslessly, so that it answers as before, or by stacking its layers.

Lossless: what a new unit writes is zero (LayerNorm: the mean of the others), so nothing it does is seen yet; what it reads has random
weights, so that the gradient tells new units from each other and reaches all of them within two steps. A norm over the wider vector is
made to divide as before by its weight and its epsilon. A new layer copies the one below it and writes nothing. Sources: Chen and others
(Net2Net, ICLR 2016); Chen and others (bert2BERT, ACL 2022); Wang and others (LEMON, ICLR 2024), zero and average expansion; Yao and others
(Masked Structural Growth, ICLR 2024); Wu and others (LLaMA Pro, ACL 2024), identity copies; Du and others (Stacking Your Transformers,
NeurIPS 2024).
"""

from __future__ import annotations

import re
from typing import Any

import torch

from endonym.errors import ConfigError
from endonym.models.grow_shape import (
    NEW,
    Shape,
    family_of,
    grown_config,
    shape_of,
    spread_layers,
    stacked_layers,
    unit_maps,
)
from endonym.models.nets.banked import refuse

OPERATORS = ("lossless", "stack")


@torch.no_grad()
def grow(model: Any, new: Shape, operator: str = "lossless", seed: int = 20) -> Any:
    """A new model of shape `new` with the knowledge of `model`, which is left as it is.

    `lossless` gives the same logits (1e-4 in fp32); `stack` adds depth by repeating the trained layers, which does not, and width losslessly.
    `new` comes from `target_shape`. Raises ConfigError for a model with parameters whose meaning is not known.
    """
    config, old = model.config, shape_of(model.config)
    grown, sources, added = empty(model, new, operator)
    grown.to(model.device)
    filler = _Filler(config, old, new, seed)
    weights = dict(model.named_parameters(remove_duplicate=False))
    for name, parameter in grown.named_parameters():
        silent = False
        if found := re.search(r"\.(?:layers|h)\.(\d+)\.", name):
            layer = int(found[1])
            silent = added[layer]
            name = f"{name[: found.start(1)]}{sources[layer]}{name[found.end(1) :]}"
        parameter.copy_(filler.widened(name, weights[name], silent))
    grown.generation_config = model.generation_config
    return grown.train(model.training)


def empty(model: Any, new: Shape, operator: str = "lossless") -> tuple[Any, list[int], list[bool]]:
    """A network of shape `new` whose weights are not set, the layer of `model` that each of its layers comes from, and whether it is
    added to them. Raises ConfigError where the depth cannot change."""
    from transformers import AutoModelForCausalLM
    from transformers.initialization import no_init_weights

    refuse(model, "grown")
    config, old = model.config, shape_of(model.config)
    if getattr(config, "scale_attn_by_inverse_layer_idx", False) and new.layers != old.layers:
        raise ConfigError(
            "the attention of this model depends on the number of the layer",
            f"Leave --layers at {old.layers}, or choose another base model.",
        )
    if operator == "stack":
        sources = stacked_layers(old.layers, new.layers)
        added = [False] * new.layers
    else:
        sources, added = spread_layers(old.layers, new.layers)
    with no_init_weights():
        grown = AutoModelForCausalLM.from_config(
            grown_config(config, old, new, sources),
            dtype=model.dtype,
            attn_implementation=config._attn_implementation,
        )
    grown.tie_weights()
    return grown, sources, added


class _Filler:
    """Widens one parameter after another, in a fixed order of random numbers."""

    def __init__(self, config: Any, old: Shape, new: Shape, seed: int):
        family = family_of(config)
        self.parameters: dict[str, list[str]] = family["parameters"]
        self.pad: str = family["pad"]
        self.maps = {name: torch.tensor(units) for name, units in unit_maps(old, new).items()}
        self.counts = {name: int(units.max()) + 1 for name, units in self.maps.items()}
        self.shrunk = (old.hidden_size / new.hidden_size) ** 0.5
        self.dice = torch.Generator().manual_seed(seed)

    def widened(self, name: str, weight: torch.Tensor, silent: bool) -> torch.Tensor:
        """The wide form of a parameter; of an added (`silent`) layer, nothing is written."""
        suffix = next((s for s in self.parameters if name.endswith(f".{s}") or name == s), None)
        if suffix is None:
            raise ConfigError(
                f"the model has a parameter {name} that growing knows nothing of",
                "Choose a base model of the Llama, Qwen, Mistral or GPT-2 family.",
            )
        role, *axes = self.parameters[suffix]
        weight = weight.detach().float().cpu()
        units = [self._units(axis, size) for axis, size in zip(axes, weight.shape, strict=False)]
        if role == "keep":
            return weight
        if role == "scale":
            return _gathered(weight * self.shrunk, units, float(weight.mean()) * self.shrunk)
        if role == "read" and weight.ndim == 2:
            if all(bool((u != NEW).all()) for u in units):
                return _gathered(weight, units, 0.0)
            size = [len(u) for u in units]
            random = torch.randn(size, generator=self.dice) * weight.std()
            return _gathered(weight, units, random)
        wide = _gathered(weight, units, 0.0)
        if role == "write" and silent:
            return wide.zero_()
        if role == "write" and self.pad == "mean":
            axis = axes.index("residual")
            fresh = (units[axis] == NEW).nonzero()[:, 0]
            mean = wide.narrow(axis, 0, weight.shape[axis]).mean(axis, keepdim=True)
            wide.index_copy_(axis, fresh, mean.expand_as(wide.index_select(axis, fresh)).contiguous())
        return wide

    def _units(self, axis: str, size: int) -> torch.Tensor:
        """Old units along an axis; of an axis with several parts, each part's begin behind those of the part before."""
        if axis not in self.maps and "+" not in axis:
            return torch.arange(size)
        parts, start = [], 0
        for part in axis.split("+"):
            units = self.maps[part]
            parts.append(torch.where(units == NEW, NEW, units + start))
            start += self.counts[part]
        return torch.cat(parts)


def _gathered(weight: torch.Tensor, units: list[torch.Tensor], fresh: float | torch.Tensor) -> torch.Tensor:
    """`weight` with the units named along each axis, and `fresh` where any of them is new."""
    size = [len(u) for u in units]
    wide = fresh if isinstance(fresh, torch.Tensor) else torch.full(size, fresh)
    known = [(u != NEW).nonzero()[:, 0] for u in units]
    old = [u[k] for u, k in zip(units, known, strict=True)]
    if weight.ndim == 1:
        wide[known[0]] = weight[old[0]]
    else:
        wide[known[0][:, None], known[1][None, :]] = weight[old[0]][:, old[1]]
    return wide
