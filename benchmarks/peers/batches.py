"""How many rows a peer takes at once, and whether the rows of a step can be divided so: known before anything is started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEFAULT = 8
"""What transformers' Trainer takes when it is told nothing."""


class IndivisibleError(Exception):
    """Rows a step that are no multiple of the rows a batch."""


def rows_at_once(setting: Mapping[str, Any], batch_size: int) -> int:
    """Rows a batch, of which accumulation makes a step of `batch_size` rows. Raises IndivisibleError with the next sizes that fit."""
    if setting.get("packed"):
        return 1
    rows = setting.get("per_device_train_batch_size", DEFAULT)
    rows = batch_size if rows == "all" else min(int(rows), batch_size)
    if batch_size % rows:
        below = batch_size - batch_size % rows
        raise IndivisibleError(
            f"{batch_size} rows a step are no multiple of its {rows} rows a batch: give --batch {below} or --batch {below + rows}"
        )
    return rows
