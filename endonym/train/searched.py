"""Find weight decay and dropout by short runs before a new model is trained: first the one, then the other, each on held-out text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from endonym.errors import ConfigError
from endonym.train.network import ready
from endonym.train.settings import TRIED, NewConfig
from endonym.train.sharded import world
from endonym.train.trials import outcome

if TYPE_CHECKING:
    from endonym.jobs.job import Job
    from endonym.models.load import Loaded
    from endonym.train.recipe import Build, Prepared

Own = TypeVar("Own", bound=NewConfig)


def searched(cfg: Own, network: Callable[[Own], Build], empty: Loaded, prepared: Prepared, job: Job) -> Own | None:
    """The settings with the weight decay and then the dropout whose short run did best on held-out text.

    A finished run is not repeated when a job goes on. Of equal ones the smaller value is chosen. None when the user asked to stop.
    Raises ConfigError on several devices.
    """
    if not cfg.search_steps:
        return cfg
    if world().size > 1:
        raise ConfigError(
            "settings are searched on one device alone", "Search with --devices 1, then set what it chose."
        )

    def loss_of(tried: Own) -> float:
        short = tried.model_copy(update={"steps": cfg.search_steps, "max_steps": 0, "patience": 0, "samples": 0})
        label = f"weight decay {tried.weight_decay:g}, dropout {tried.dropout:g}"
        part = f"search-{tried.weight_decay:g}-{tried.dropout:g}"
        made = outcome(part, short, lambda: ready(empty, network(short)(empty)), (*prepared[:2], ()), job)
        least = math.nan if made is None else min(loss for _, loss in made.curve)
        job.log(f"{cfg.search_steps} steps with {label}: validation loss {least:.4f}")
        return least

    best = cfg
    for name, values in TRIED.items():
        found = _least(best, name, values, loss_of)
        if found is None:
            return None
        best = found
    job.log(f"chosen: weight decay {best.weight_decay:g}, dropout {best.dropout:g}")
    return best


def _least(cfg: Own, name: str, values: Sequence[float], loss_of: Callable[[Own], float]) -> Own | None:
    """The settings with that of `values` which has the least loss; None where one has none."""
    tried: list[Any] = [cfg.model_copy(update={name: value}) for value in values]
    losses = []
    for one in tried:
        losses.append(loss_of(one))
        if math.isnan(losses[-1]):
            return None
    chosen: Own = tried[losses.index(min(losses))]
    return chosen
