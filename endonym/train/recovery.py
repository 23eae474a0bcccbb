"""What a run changes after it ran out of memory, and keeps: smaller packs, then recomputed activations; never the recipe."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from endonym.store.files import write_json
from endonym.train.settings import FitConfig

SMALLEST = 256
"""Packs are not halved below this many tokens: they would save no memory worth a restart."""

FitConfigT = TypeVar("FitConfigT", bound=FitConfig)


@dataclass(frozen=True)
class Lighter:
    """How a run is lighter than its settings say. Rows per step, their texts and the loss are the same as ever."""

    halvings: int = 0
    """How often `batch_tokens`, the tokens computed at once, was halved; a step then adds up twice as many packs."""
    recompute: bool = False
    """Activations are computed once more on the way back instead of kept (gradient checkpointing)."""

    def applied(self, cfg: FitConfigT) -> FitConfigT:
        """The settings to run with."""
        return cfg.model_copy(update={"batch_tokens": cfg.batch_tokens >> self.halvings})


def read(folder: Path) -> Lighter:
    """What the job in `folder` has changed so far."""
    path = _path(folder)
    return Lighter(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else Lighter()


def copy(source: Path, target: Path) -> None:
    """Let the job in `target` be as light as that in `source`."""
    write_json(_path(target), asdict(read(source)))


def lighten(folder: Path, cfg: FitConfig) -> str:
    """Make the job in `folder` need less memory from its next start on; returns what was changed, `""` when nothing is left."""
    before = read(folder)
    now = next_lighter(before, cfg)
    if now is None:
        return ""
    write_json(_path(folder), asdict(now))
    if now.recompute != before.recompute:
        return "activations are computed twice instead of kept (slower, same result)"
    return (
        f"{cfg.batch_tokens >> now.halvings} tokens at once and {2**now.halvings} times as many packs a step; "
        "the result is the same"
    )


def next_lighter(now: Lighter, cfg: FitConfig) -> Lighter | None:
    """What a run changes next; None when nothing is left."""
    if cfg.batch_tokens >> (now.halvings + 1) >= SMALLEST:
        return Lighter(now.halvings + 1, now.recompute)
    return None if now.recompute else Lighter(now.halvings, True)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU, on Apple's, or on the CPU.

    PyTorch raises a class of its own for CUDA and plain RuntimeErrors elsewhere, told apart by their words alone.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    words = ("DefaultCPUAllocator", "out of memory", "not enough memory", "Cannot allocate memory")
    return isinstance(error, RuntimeError | OSError) and any(w in str(error) for w in words)


def _path(folder: Path) -> Path:
    return folder / "lighter.json"
