"""What a recipe leaves beside the weights: `model.json` and the curve, so that the model explains itself."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.models.compute import flops_per_token
from endonym.models.load import Loaded
from endonym.models.packed import num_weights
from endonym.store import events
from endonym.store.files import hash_folder, write_json
from endonym.train.fit import Fitted
from endonym.train.preflight import Check
from endonym.train.settings import FitConfig

if TYPE_CHECKING:
    from endonym.jobs.job import Job


def save_adapter(model: Any, folder: Path) -> None:
    """Write a peft adapter; lists that peft keeps as sets are sorted, so that equal adapters are equal files."""
    model.save_pretrained(folder)
    file = folder / "adapter_config.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    for name in ("target_modules", "modules_to_save", "exclude_modules"):
        if isinstance(settings.get(name), list):
            settings[name] = sorted(settings[name])
    file.write_text(json.dumps(settings, indent=2, sort_keys=True), encoding="utf-8")


def save_weights(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write all weights as safetensors with the tokenizer, a folder that loads like any base model."""
    # A network that brings its own way of decoding has no use for transformers' cache.
    model.config.use_cache = not hasattr(model, "decoding")
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)


def amend(job: Job, values: Mapping[str, Any]) -> None:
    """Add what a recipe found out besides to `model.json`."""
    file = job.output / "model.json"
    write_json(file, {**json.loads(file.read_text(encoding="utf-8")), **values})


def describe(loaded: Loaded, recipe: str, cfg: FitConfig, checks: Sequence[Check], result: Fitted, job: Job) -> None:
    """Write `model.json` and `curve.jsonl` into the job's output, add rows passed over to the ledger, and set the job's summary."""
    _name_skipped(result.skipped, job)
    trained = sum(p.numel() for p in loaded.model.parameters() if p.requires_grad)
    about: dict[str, Any] = {
        "recipe": recipe,
        "base": _path_of(loaded.base, job),
        # A model over bytes has nothing of the project's base.
        "base_name": "" if loaded.base == job.output / "weights" else job.project.base,
        "base_hash": hash_folder(loaded.base),
        "renderer": loaded.renderer.hash,
        "dtype": str(next(loaded.model.parameters()).dtype).removeprefix("torch."),
        "settings": cfg.model_dump(mode="json"),
        "trained_parameters": trained,
        "parameters": sum(num_weights(loaded.model).values()),
        "checks": [{"name": c.name, "passed": c.passed, "detail": c.detail} for c in checks],
        "rows": job.results.get("rows"),
        "steps": result.steps,
        "best_step": result.best_step,
        "best_valid_loss": result.best_loss,
        "averaged": result.averaged,
        "running_mean": result.running_mean,
        "train_loss": None if math.isnan(result.train_loss) else result.train_loss,
        "bytes_per_token": dict(zip(("loss", "valid_loss", "train_loss"), result.bytes_per_token, strict=True)),
        "vocabulary": len(loaded.tokenizer),
        "tokens": result.tokens,
        "learned_tokens": result.learned_tokens,
        "seconds": result.seconds,
        "flops": flops_per_token(loaded.model) * result.tokens,
        "tokens_per_second": result.tokens / max(result.seconds, 1e-9),
        "peak_memory_bytes": result.peak_bytes,
    }
    write_json(job.output / "model.json", about)
    with (job.output / "curve.jsonl").open("w", encoding="utf-8") as file:
        for name in ("loss", "valid_loss"):
            for step, value in events.curve(job.project.db, job.id, name):
                file.write(json.dumps({"name": name, "step": step, "value": value}) + "\n")
    job.summary(
        steps=result.steps,
        best_step=result.best_step,
        best_valid_loss=round(result.best_loss, 4),
        tokens_per_second=round(result.tokens_per_second),
        peak_memory_bytes=result.peak_bytes,
        trained_parameters=trained,
        rows_passed_over=len(result.skipped),
    )


def _path_of(base: Path, job: Job) -> str:
    """Where a base lies: from the output on where another run of the project made it, so that the project can be moved."""
    inside = job.project.runs in base.parents and job.output not in base.parents
    return os.path.relpath(base, job.output.resolve()) if inside else str(base)


def _name_skipped(origins: Sequence[str], job: Job) -> None:
    """Add the rows that were passed over to `output/ledger.jsonl`."""
    with (job.output / "ledger.jsonl").open("a", encoding="utf-8") as file:
        for origin in origins:
            line = {
                "reason": "train.not_credible",
                "detail": "its step's loss was no number or leapt",
                "origin": origin,
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
