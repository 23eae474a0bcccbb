"""Run the parts of a job that are there to be compared: each is trained once, measured, and leaves its outcome alone."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch

from endonym.models.compute import flops_per_token
from endonym.models.generate import answer_nll
from endonym.models.load import Loaded
from endonym.store import events
from endonym.store.files import write_json
from endonym.train.fit import RANDOM, Course, fit
from endonym.train.losses import next_token
from endonym.train.network import attention
from endonym.train.recipe import Prepared
from endonym.train.settings import FitConfig
from endonym.types import Chat

if TYPE_CHECKING:
    from endonym.jobs.job import Job


@dataclass(frozen=True)
class Outcome:
    """What a run cost, and what its model needs for each answer."""

    steps: int
    best_step: int
    parameters: int
    tokens: int
    flops: float
    seconds: float
    learned_tokens: int
    answers: Sequence[Sequence[float]]
    """`[bits, bytes]` of each answer."""
    curve: Sequence[Sequence[float]] = ()
    """`[step, validation loss]` of each evaluation."""
    earlier_flops: float = 0.0
    """Compute that went into the network before this job, as far as it is known."""

    @property
    def bits_per_byte(self) -> float:
        return sum(bits for bits, _ in self.answers) / max(1.0, sum(size for _, size in self.answers))


def outcome(
    part: str, cfg: FitConfig, build: Callable[[], Loaded], prepared: Prepared, job: Job, course: Course = RANDOM
) -> Outcome | None:
    """Train what `build` makes and measure it; None when the user asked to stop. `part` is "" for the job's own run.

    `build` is called with the random numbers of `cfg.seed` and gives a model that is ready to train. A part that is done is not
    trained again: its outcome is kept in the place of its checkpoints, which of several parts would fill a disk.
    """
    rows, valid, chats = prepared
    folder = job.folder / "checkpoints" / (part or "main")
    kept = folder / "outcome.json"
    if kept.is_file():
        return Outcome(**json.loads(kept.read_text(encoding="utf-8")))
    torch.manual_seed(cfg.seed)
    loaded = build()
    network = loaded.model
    fitted = fit(network, rows, valid, next_token, cfg, job, part=part, course=course)
    if fitted.cancelled:
        return None
    curve = events.curve(job.project.db, job.id, f"{part}/valid_loss" if part else "valid_loss")
    made = Outcome(
        fitted.steps, fitted.best_step, sum(p.numel() for p in network.parameters()), fitted.tokens,
        flops_per_token(network) * fitted.tokens, fitted.seconds, fitted.learned_tokens, answers_of(loaded, chats),
        list(dict(curve).items()),
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    write_json(kept, asdict(made))
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path != kept:
            path.unlink()
    return made


def answers_of(loaded: Loaded, chats: Sequence[Chat]) -> list[list[float]]:
    """`[bits, bytes]` of each chat's answer, without its end marker."""
    was_training = loaded.model.training
    loaded.model.eval()
    with attention(loaded.model, "sdpa"):
        found = answer_nll(loaded, chats)
    loaded.model.train(was_training)
    return [[nats / math.log(2), float(num_bytes)] for nats, num_bytes in found]
