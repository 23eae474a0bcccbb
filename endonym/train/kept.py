"""Weights beside those in training: of single steps on disk, which no interruption loses, and the running mean of all steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from endonym.store.files import sync
from endonym.train.sharded import like


class Kept:
    """Files `<name>-<step>.safetensors` in `folder`.

    A file carries its step: a run that is set back to an older checkpoint must not end with weights it has not reached.
    """

    def __init__(self, name: str, folder: Path, weights: dict[str, torch.nn.Parameter]):
        self.name = name
        self.folder = folder
        self.weights = weights

    def keep(self, step: int, weights: Mapping[str, torch.Tensor]) -> None:
        """Write the weights as they are now, put together."""
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self._path(step)
        temporary = target.with_suffix(".tmp")
        save_file(dict(weights), temporary)
        sync(temporary)
        temporary.replace(target)
        sync(self.folder)

    def steps(self, until: int) -> list[int]:
        """Steps up to `until` whose weights are here, in order."""
        found = (int(path.stem.rpartition("-")[2]) for path in self.folder.glob(f"{self.name}-*.safetensors"))
        return sorted(step for step in found if step <= until)

    def retire(self, oldest: int) -> None:
        """Delete the weights of steps before `oldest`, which no checkpoint can still ask for."""
        for step in self.steps(oldest - 1):
            self._path(step).unlink()

    def restore(self, *steps: int) -> None:
        """Put the weights of a step, or the mean of several steps, into the model."""
        total: dict[str, torch.Tensor] = {}
        for step in steps:
            for name, tensor in load_file(self._path(step)).items():
                total[name] = total[name] + tensor.float() if name in total else tensor.float()
        with torch.no_grad():
            for name, tensor in total.items():
                self.weights[name].copy_(like(tensor / len(steps), self.weights[name]))

    def _path(self, step: int) -> Path:
        return self.folder / f"{self.name}-{step:08d}.safetensors"


class RunningMean:
    """An exponential mean of weights over the steps (Polyak and Juditsky, 1992), which forgets where training began.

    Of the old mean a step keeps `share`, and at first less: (1 + t) / (10 + t), so that the mean is of about the last tenth of the steps.
    """

    def __init__(self, trained: Mapping[str, torch.nn.Parameter], share: float):
        self.share = share
        self._trained = trained
        self.weights: dict[str, torch.Tensor] = (
            {name: p.detach().clone() for name, p in trained.items()} if share else {}
        )
        """The mean by name; empty where none is kept."""

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Take the weights after step number `step` (from 1) into the mean."""
        kept = min(self.share, (1 + step) / (10 + step))
        for name, mean in self.weights.items():
            mean.lerp_(self._trained[name].detach(), 1 - kept)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Inside the block the model has the mean for its weights."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, mean in self.weights.items():
            own = self._trained[name].detach().clone()
            self._trained[name].copy_(mean)
            mean.copy_(own)
