"""Which shape a model grows to, and which of its layers, heads and units each new one comes from."""

from __future__ import annotations

import copy
import tomllib
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from endonym.errors import ConfigError

NEW = -1
"""In a list of old numbers: a unit that the old model does not have."""


@dataclass(frozen=True)
class Shape:
    """What can grow; the width of a head stays."""

    layers: int
    hidden_size: int
    intermediate_size: int
    heads: int
    kv_heads: int
    head_dim: int

    def __str__(self) -> str:
        shared = f" ({self.kv_heads} for keys and values)" if self.kv_heads != self.heads else ""
        return (
            f"{self.layers} layers of {self.hidden_size}, {self.heads} heads of {self.head_dim}{shared}, "
            f"inner width {self.intermediate_size}"
        )


@lru_cache
def _table() -> dict[str, dict[str, Any]]:
    return tomllib.loads((Path(__file__).parent / "grow.toml").read_text(encoding="utf-8"))


def family_of(config: Any) -> dict[str, Any]:
    """The layout of a model's parameters in `grow.toml`; raises ConfigError for a family that is not there."""
    for family in _table().values():
        if config.model_type in family["model_types"]:
            return family
    known = ", ".join(t for family in _table().values() for t in family["model_types"])
    raise ConfigError(f"a model of type {config.model_type} cannot be grown", f"Choose a base of type {known}.")


def shape_of(config: Any) -> Shape:
    """The shape a model's settings describe."""
    names = family_of(config)["config"]
    hidden, heads = getattr(config, names["hidden_size"]), getattr(config, names["heads"])
    return Shape(
        layers=getattr(config, names["layers"]),
        hidden_size=hidden,
        intermediate_size=getattr(config, names["intermediate_size"]) or 4 * hidden,
        heads=heads,
        kv_heads=getattr(config, names["kv_heads"]) if names["kv_heads"] else heads,
        head_dim=getattr(config, "head_dim", None) or hidden // heads,
    )


def target_shape(
    config: Any, layers: int = 0, hidden_size: int = 0, intermediate_size: int = 0, heads: int = 0, kv_heads: int = 0
) -> Shape:
    """The shape to grow to; a 0 keeps the depth, and lets the other numbers follow the width.

    Raises ConfigError when anything would shrink, or heads do not fit.
    """
    old, grouped = shape_of(config), bool(family_of(config)["config"]["kv_heads"])
    hidden = hidden_size or old.hidden_size
    heads = heads or max(old.heads, old.heads * hidden // old.hidden_size)
    inner = intermediate_size or -(-old.intermediate_size * hidden // old.hidden_size)
    own = kv_heads if not grouped and kv_heads not in (0, heads) else 0
    kv_heads = (kv_heads if grouped else 0) or _kv_heads(old, heads)
    new = Shape(layers or old.layers, hidden, inner, heads, kv_heads, old.head_dim)
    problems = [
        f"{name} {value} is less than the {asdict(old)[name]} there are"
        for name, value in asdict(new).items()
        if value < asdict(old)[name]
    ]
    if own:
        problems.append(
            f"each of the {heads} heads has its own keys and values here, and {own} for all of them cannot be"
        )
    if heads % kv_heads:
        problems.append(f"{heads} heads cannot share {kv_heads} heads for keys and values evenly")
    elif (needed := _copies(old, new) * old.kv_heads) > kv_heads:
        problems.append(f"{heads} heads in groups of {heads // kv_heads} need {needed} heads for keys and values")
    if hidden % heads:
        problems.append(f"a width of {hidden} is not a multiple of {heads} heads")
    elif not grouped and hidden != heads * old.head_dim:
        problems.append(f"heads of {old.head_dim} stay so, and {heads} of them are not {hidden} wide")
    if problems:
        raise ConfigError(
            f"{old} cannot grow to {new}: " + "; ".join(problems),
            f"Choose a --width that is a multiple of {old.head_dim}, and --heads, --kv-heads and --inner that fit it.",
        )
    return new


def grown_config(config: Any, old: Shape, new: Shape, sources: list[int]) -> Any:
    """A copy of a model's settings for the new shape; `sources` are the old layers the new ones come from."""
    names = family_of(config)["config"]
    grown = copy.deepcopy(config)
    for field in ("layers", "hidden_size", "intermediate_size", "heads", "kv_heads"):
        if names[field]:
            setattr(grown, names[field], getattr(new, field))
    if names["kv_heads"]:
        grown.head_dim = new.head_dim
    if getattr(config, "layer_types", None):
        grown.layer_types = [config.layer_types[s] for s in sources]
    # A norm over padding sees the mean square shrink by old / new width, and what is added to it must shrink alike.
    setattr(grown, names["eps"], getattr(config, names["eps"]) * old.hidden_size / new.hidden_size)
    return grown


def spread_layers(old: int, new: int) -> tuple[list[int], list[bool]]:
    """Per new layer the old one it is or copies, and whether it is added; additions stand evenly between the old layers."""
    after = [max(0, (k + 1) * old // (new - old) - 1) for k in range(new - old)]
    sources, added = [], []
    for layer in range(old):
        times = 1 + after.count(layer)
        sources += [layer] * times
        added += [False] + [True] * (times - 1)
    return sources, added


def stacked_layers(old: int, new: int) -> list[int]:
    """Per new layer the old one it repeats: whole copies of the stack on each other, at equal offsets where they overlap.

    Twice the depth is the `G_stack` of Du and others (2024), once and a half the depth up-scaling of Kim and others (SOLAR, 2023).
    """
    copies = -(-new // old)
    bounds = [round(new * c / copies) for c in range(copies + 1)]
    sources: list[int] = []
    for c in range(copies):
        length = bounds[c + 1] - bounds[c]
        offset = round((old - length) * c / max(1, copies - 1))
        sources += range(offset, offset + length)
    return sources


def unit_maps(old: Shape, new: Shape) -> dict[str, list[int]]:
    """Per axis of `grow.toml` the old unit each new unit is, or `NEW`.

    A query head must keep its key and value head: new query heads stand at the end of each group, and where groups become
    smaller, the key and value head of a group is copied for each part of it.
    """
    group, new_group = old.heads // old.kv_heads, new.heads // new.kv_heads
    copies = _copies(old, new)
    heads, kv_heads = [NEW] * new.heads, [NEW] * new.kv_heads
    for kv in range(old.kv_heads):
        for part in range(copies):
            at = kv * copies + part
            kv_heads[at] = kv
            for n, head in enumerate(range(part * new_group, min((part + 1) * new_group, group))):
                heads[at * new_group + n] = kv * group + head
    return {
        "residual": _padded(old.hidden_size, new.hidden_size),
        "inner": _padded(old.intermediate_size, new.intermediate_size),
        "heads": _units(heads, old.head_dim),
        "kv_heads": _units(kv_heads, old.head_dim),
    }


def _padded(old: int, new: int) -> list[int]:
    return [*range(old), *[NEW] * (new - old)]


def _units(heads: list[int], width: int) -> list[int]:
    return [NEW if head == NEW else head * width + n for head in heads for n in range(width)]


def _copies(old: Shape, new: Shape) -> int:
    """Key and value heads that each old one becomes."""
    return -(-(old.heads // old.kv_heads) // (new.heads // new.kv_heads))


def _kv_heads(old: Shape, heads: int) -> int:
    """As many as keep the groups as they are; where that does not come out even, as many as there were, or one each."""
    same = heads * old.kv_heads // old.heads
    if heads * old.kv_heads % old.heads == 0 and heads % same == 0:
        return same
    return old.kv_heads if heads % old.kv_heads == 0 else heads
