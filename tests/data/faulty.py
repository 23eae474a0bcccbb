"""LoRA on a machine where things go wrong: memory runs out, numbers break, the disk fills up, the system kills."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

from pydantic import Field

from endonym.train.recipes import lora


class Config(lora.Config):
    """Settings of LoRA, and what goes wrong."""

    fault: str = Field("none", description="memory, killed, broken, broken_rows or disk.")
    at: int = Field(0, description="Number of the pack, or of the file written, at which it happens.")
    limit: int = Field(0, description="Packs of more tokens than this do not fit with all activations kept.")


def train(cfg: Config, data, job) -> Path:
    """Train like `lora`, with the accident."""
    from functools import partial

    import torch

    from endonym.train import checkpoint, kept, recipe, recovery
    from endonym.train.losses import next_token

    seen = {"packs": 0, "files": 0}
    happened = job.folder / "happened"
    save = checkpoint.save_file

    def loss(model, batch):
        value = next_token(model, batch)
        if not model.training or type(value) is not torch.Tensor:
            return value  # an evaluation, or the forecast, which computes nothing
        seen["packs"] += 1
        now = seen["packs"] >= cfg.at
        large = batch.num_tokens > cfg.limit and not recovery.read(job.folder).recompute
        if cfg.fault == "memory" and now and large:
            torch.empty(1 << 60)
        if cfg.fault == "killed" and now and large:
            os.kill(os.getpid(), signal.SIGKILL)
        if cfg.fault == "broken" and now and not happened.exists():
            happened.touch()
            return value * float("nan")
        if cfg.fault == "broken_rows" and cfg.limit in batch.ids:
            return value * float("nan")
        return value

    def full_disk(tensors, path):
        seen["files"] += 1
        if cfg.fault == "disk" and cfg.at <= seen["files"] < cfg.at + 3:
            Path(path).write_bytes(b"half a file")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(tensors, path)

    recipe.run = partial(recipe.run, loss=loss)
    checkpoint.save_file = kept.save_file = full_disk
    from endonym.store import room

    room.RETRY_SECONDS = 0.05
    return lora.train(cfg, data, job)
