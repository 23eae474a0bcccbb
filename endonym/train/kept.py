"""Weights of single steps on disk, so that an interruption does not lose the best ones, or those to be averaged."""

from __future__ import annotations

from collections.abc import Mapping
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
