"""Checkpoints that are whole or not there: temporary folder, hashed manifest, fsync, rename; the newest that verifies is used."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from endonym.models.load import device
from endonym.store.files import file_hash, sync
from endonym.train.batches import Cursor
from endonym.train.settings import KEEP, SCALE
from endonym.train.sharded import gathered, like, world


@dataclass
class State:
    """Where a run stands, apart from tensors."""

    step: int = 0
    cursor: Cursor = field(default_factory=Cursor)
    best_loss: float = float("inf")
    best_step: int = 0
    best_is_mean: bool = False
    """Whether the best weights are the running mean of that step."""
    evaluations_without_gain: int = 0
    learned_tokens: int = 0
    tokens: int = 0
    """Tokens seen in steps that were taken."""
    seconds: float = 0.0
    """Time spent in steps."""
    recent: list[float] = field(default_factory=list)
    """Losses of the last steps."""
    scale: float = SCALE
    """What losses are multiplied by on their way back, where that is computed in fp16."""
    skips: int = 0
    """Steps whose rows were passed over."""
    skipped: list[str] = field(default_factory=list)
    """Where those rows come from."""


Files = Mapping[str, Mapping[str, torch.Tensor]]
"""The tensors of a checkpoint by file and name."""


def collected(
    weights: Mapping[str, torch.Tensor], optimizer: torch.optim.Optimizer, mean: Mapping[str, torch.Tensor]
) -> Files:
    """What a checkpoint holds of the trained `weights`, their running `mean` where one is kept, the optimiser and the random generators;
    the first of several devices has it whole, and all must ask at once."""
    files = {
        "weights": gathered(weights),
        "optimizer": gathered(_optimizer_tensors(optimizer, list(weights))),
        "random": _random_states(),
    }
    return {**files, "mean": gathered(mean)} if mean else files


def save(folder: Path, state: State, files: Files) -> Path:
    """Write a checkpoint of what was `collected`, and the cursor.

    It is read back and compared with its hashes before an older one is deleted. Leaves nothing behind when the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step-{state.step:08d}"
    if verifies(target):
        return target
    # Damaged: the run went back to the one before it, and has come here again.
    shutil.rmtree(target, ignore_errors=True)
    temporary = folder / f".tmp-{uuid.uuid4().hex[:8]}"
    temporary.mkdir()
    try:
        _write(temporary, state, files)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    temporary.rename(target)
    sync(folder)
    if verifies(target):
        _retire(folder)
    return target


def _write(folder: Path, state: State, files: Files) -> None:
    for name, tensors in files.items():
        save_file(dict(tensors), folder / f"{name}.safetensors")
    (folder / "state.json").write_text(json.dumps(asdict(state)), encoding="utf-8")
    manifest = {p.name: file_hash(p) for p in sorted(folder.iterdir())}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    for path in folder.iterdir():
        sync(path)
    sync(folder)


def newest(folder: Path) -> Path | None:
    """The newest checkpoint whose every file matches its hash; leftovers of an interrupted save are removed."""
    if not folder.is_dir():
        return None
    for debris in folder.glob(".tmp-*"):
        shutil.rmtree(debris, ignore_errors=True)
    return next((path for path in sorted(folder.glob("step-*"), reverse=True) if verifies(path)), None)


def verifies(path: Path) -> bool:
    """Whether a checkpoint is complete and undamaged."""
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        return bool(manifest) and all(file_hash(path / name) == wanted for name, wanted in manifest.items())
    except (OSError, ValueError):
        return False


def best_steps(folder: Path) -> list[int]:
    """The best step each checkpoint in `folder` knows of; damaged ones know none."""
    return [int(found["best_step"]) for found in _states(folder)]


def oldest_step(folder: Path) -> int:
    """The step of the oldest checkpoint in `folder`, the furthest a run can be set back; 0 where there is none."""
    return min((int(found["step"]) for found in _states(folder)), default=0)


def _states(folder: Path) -> list[dict[str, Any]]:
    """The state in each checkpoint of `folder` whose state is what was written."""
    found = []
    for path in folder.glob("step-*"):
        try:
            wanted = json.loads((path / "manifest.json").read_text(encoding="utf-8"))["state.json"]
            if file_hash(path / "state.json") == wanted:
                found.append(json.loads((path / "state.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError):
            continue
    return found


def load(
    path: Path,
    weights: Mapping[str, torch.Tensor],
    optimizer: torch.optim.Optimizer,
    mean: Mapping[str, torch.Tensor],
) -> State:
    """Put a checkpoint back into `weights` and `mean` (in place), the optimiser and the random generators; returns its state."""
    for file, tensors in (("weights", weights), ("mean", mean)):
        with torch.no_grad():
            for name, tensor in load_file(path / f"{file}.safetensors").items() if tensors else ():
                tensors[name].copy_(like(tensor, tensors[name]))
    _restore_optimizer(optimizer, weights, load_file(path / "optimizer.safetensors"))
    states = load_file(path / "random.safetensors")
    # A checkpoint of fewer devices has none for the others: they go on with their own.
    if (cpu := _label("cpu", world().rank)) in states:
        torch.set_rng_state(states[cpu])
    if (cuda := _label("cuda", world().rank)) in states and device().type == "cuda":
        torch.cuda.set_rng_state(states[cuda])
    data: dict[str, Any] = json.loads((path / "state.json").read_text(encoding="utf-8"))
    data["cursor"] = Cursor(**data["cursor"])
    return State(**data)


def _optimizer_tensors(optimizer: torch.optim.Optimizer, names: Sequence[str]) -> dict[str, Any]:
    tensors = {}
    for number, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            tensors[f"{names[number]}|{key}"] = value
    return tensors


def _restore_optimizer(
    optimizer: torch.optim.Optimizer, weights: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor]
) -> None:
    number_of = {name: n for n, name in enumerate(weights)}
    state: dict[int, dict[str, torch.Tensor]] = {}
    for label, tensor in tensors.items():
        name, _, key = label.rpartition("|")
        alike = tensor.shape == weights[name].shape
        state.setdefault(number_of[name], {})[key] = like(tensor, weights[name]) if alike else tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _random_states() -> dict[str, torch.Tensor]:
    own = {"cpu": torch.get_rng_state()}
    if device().type == "cuda":
        own["cuda"] = torch.cuda.get_rng_state()
    return {_label(kind, rank): s for kind, state in own.items() for rank, s in enumerate(world().gathered(state))}


def _label(kind: str, rank: int) -> str:
    return f"{kind}.{rank}" if rank else kind


def _retire(folder: Path) -> None:
    """Delete all but the newest `KEEP` checkpoints."""
    for path in sorted(folder.glob("step-*"), reverse=True)[KEEP:]:
        shutil.rmtree(path, ignore_errors=True)
