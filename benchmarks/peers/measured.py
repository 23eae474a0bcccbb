"""What the runners of all peers built on transformers' Trainer share: the job they read, the clock, what was trained, the result."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from batches import rows_at_once
from rendering import IGNORE, Row, about
from transformers import TrainerCallback

Job = dict[str, Any]


def read_job() -> Job:
    """The job that `train_speed.py` wrote, named on the command line."""
    found: Job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    return found


def longest(job: Job) -> int:
    """Length in tokens up to which rows are taken, or packs are filled."""
    return int(job["step_tokens"] if job["setting"].get("packed") else job["max_length"])


def arguments(job: Job) -> dict[str, Any]:
    """Training arguments: what all share, the setting's own, and as many accumulated batches as make up a step's rows.

    A setting with `packed` has one pack a step, as long as the rows of a step are together on average.
    """
    own = {name: None if value == "none" else value for name, value in job["setting"].items()}
    rows = rows_at_once(own, job["batch_size"])
    steps_rows = 1 if own.pop("packed", False) else job["batch_size"]
    own.pop("per_device_train_batch_size", None)
    shared = {
        "output_dir": str(Path(job["work"]) / "trainer"),
        "num_train_epochs": 1,
        "learning_rate": job["learning_rate"],
        "lr_scheduler_type": "constant",
        "adam_beta2": job["beta2"],
        "weight_decay": job["weight_decay"],
        "max_grad_norm": job["clip"],
        "seed": job["seed"],
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": job["device"] == "cpu",
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": steps_rows // rows,
    }
    return shared | own


class Watch(TrainerCallback):
    """Notes when training begins and each step ends, which rows were prepared and which labels really were computed."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.prepared: dict[str, Any] = {}
        self.seen = {"rows": 0, "learned": 0, "positions": 0}

    def on_train_begin(self, args: Any, state: Any, control: Any, **about_run: Any) -> None:
        # Accelerate's loader hands out the batches of the one inside it.
        loader = getattr(about_run["train_dataloader"], "base_dataloader", about_run["train_dataloader"])
        self.prepared = about(row for packed in loader.dataset for row in rows_of(packed))
        loader.collate_fn = self._counting(loader.collate_fn)
        self.times = [time.time()]

    def on_step_end(self, args: Any, state: Any, control: Any, **about_run: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.times.append(time.time())

    def _counting(self, collate: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def counted(features: Any) -> Any:
            batch = collate(features)
            learned = batch["labels"] != IGNORE
            self.seen["learned"] += int(learned.sum())
            # A row has one answer, so rows are counted where an answer begins, however they are laid out.
            self.seen["rows"] += int((learned[:, 1:] & ~learned[:, :-1]).sum())
            self.seen["positions"] += batch["input_ids"].numel()
            return batch

        return counted


def rows_of(row: dict[str, Any]) -> Iterator[Row]:
    """A prepared row's ids and labels; a packed one is taken apart."""
    ids = list(row["input_ids"])
    labels = row.get("labels")
    if labels is None:
        labels = [i if learned else IGNORE for i, learned in zip(ids, row["completion_mask"])]
    marks = row.get("attention_mask") or []
    if row.get("seq_lengths"):
        lengths = list(row["seq_lengths"])
    elif max(marks, default=1) > 1:
        lengths = [marks.count(number) for number in range(1, max(marks) + 1)]
    else:
        lengths = [len(ids)]
    at = 0
    for length in lengths:
        yield ids[at : at + length], list(labels[at : at + length])
        at += length


def write_result(job: Job, watch: Watch, adapter: Path) -> None:
    """Write what `train_speed.py` reads."""
    result = {
        "times": watch.times,
        "prepared": watch.prepared,
        "seen": watch.seen,
        "adapter": str(adapter),
        "versions": {name: version(name) for name in job["packages"]},
        "device_peak_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0,
    }
    Path(job["result"]).write_text(json.dumps(result), encoding="utf-8")
