"""What every gradient-trained recipe does with the network it has built: check, fit, keep the best, save, describe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.errors import JobError
from endonym.models.load import Loaded
from endonym.models.nets.banked import hash_of, rebase
from endonym.models.render import Example
from endonym.store.room import patiently
from endonym.train.batches import Loss
from endonym.train.features import install
from endonym.train.finish import describe
from endonym.train.fit import RANDOM, Course, Fitted, Rows, fit
from endonym.train.losses import next_token
from endonym.train.network import compile_blocks, ready
from endonym.train.preflight import preflight
from endonym.train.rows import chats_of, prepare, sampler
from endonym.train.settings import FitConfig
from endonym.train.sharded import world
from endonym.types import Chat

if TYPE_CHECKING:
    from endonym.data.dataset import Dataset
    from endonym.jobs.job import Job

Build = Callable[[Loaded], Any]
"""Turns the loaded base into the network to train; what requires gradients is trained."""

Fit = Callable[[FitConfig, str], Fitted]
"""Trains the network on the job's rows with settings of its own, as the part that is named."""

Prepared = tuple[Rows, Sequence[Example], Sequence[Chat]]
"""Training rows, validation examples, and the chats of the latter, as `rows.prepare` returns them."""


def run(
    name: str,
    cfg: FitConfig,
    data: Dataset,
    job: Job,
    loaded: Loaded,
    build: Build,
    save: Callable[[Any, Path], None],
    chats: tuple[Sequence[Chat], Sequence[Chat]] | None = None,
    prepared: Prepared | None = None,
    course: Callable[[Any], Course] = lambda network: RANDOM,
    first: Callable[[Any, Fit], Fitted | None] = lambda network, train: None,
    loss: Loss = next_token,
    watch: Callable[[int], None] = lambda step: None,
    alone: Callable[[Any, Example], Any] | None = None,
) -> Path:
    """Train what `build` makes of `loaded` on the chats of `data`; `save(network, output)` writes the weights.

    `chats` are training and validation chats where a recipe does not take all of `data`, `prepared` what it has rendered itself.
    `course` says in which order the network sees the rows. `first` may train a part of the network before; what that took is
    counted in, and where it was cancelled the run ends there. `watch` is called with the step at each evaluation. `alone` gives
    the loss of a row without packs, where it is another than that of next tokens.

    Rows are rendered before the network is built, so that bad data fails first. A cancelled run saves no model.
    """
    if prepared is None:
        learned, held = chats or (chats_of(data, "train"), chats_of(data, "valid"))
        prepared = prepare(learned, held, loaded.renderer, cfg, job)
    rows, valid, shown = prepared
    network = build(loaded)
    loaded = ready(loaded, network)
    taken = course(network)
    checks = preflight(network, rows, loss, loaded.renderer, cfg, job, taken.rows_of, alone)
    install(network, [*rows.examples, *rows.alike, *valid], cfg, job)
    if cfg.compiled:
        compile_blocks(network)
    sample = sampler(loaded, shown, cfg.samples, job)

    def shown_and_watched(step: int) -> None:
        sample(step)
        watch(step)

    def train(own: FitConfig, part: str) -> Fitted:
        return fit(network, rows, valid, loss, own, job, shown_and_watched, part)

    modules = _Modules(network)
    before = first(network, train)
    if before is not None and before.cancelled:
        return job.output
    result = fit(network, rows, valid, loss, cfg, job, shown_and_watched, course=taken)
    if before is not None:
        result = replace(
            result, tokens=before.tokens + result.tokens, seconds=before.seconds + result.seconds,
            learned_tokens=before.learned_tokens + result.learned_tokens,
        )  # fmt: skip
    if not result.cancelled and world().rank == 0:
        modules.settle(job)
        patiently(lambda: save(network, job.output), job.cancelled)
        describe(loaded, name, cfg, checks, result, job)
    return job.output


class _Modules:
    """The modules of a network that is trained further, and its router, by their hashes before: none of them learns here."""

    def __init__(self, network: Any):
        self.network = network
        frozen = hasattr(network, "bank") and not any(p.requires_grad for p in network.bank.parameters())
        self.bank = network.bank if frozen else None
        self.before = hash_of(self.bank) if frozen else ""

    def settle(self, job: Job) -> None:
        """Write down which base they fit now, and say that they are as they were; raises JobError where they are not."""
        self._must_be_unchanged(job)
        if hasattr(self.network, "bank") and not hasattr(self.network, "peft_config"):
            rebase(self.network)

    def _must_be_unchanged(self, job: Job) -> None:
        if self.bank is None:
            return
        if hash_of(self.bank) != self.before:
            raise JobError("the modules or their router changed though they were frozen", "This is a fault in Endonym.")
        job.log(f"unchanged, by their hash: the router and the modules {', '.join(self.bank.names)}")
