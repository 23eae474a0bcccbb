"""From the settings a person knows to those of the recipes, with a note for everything that this machine cannot do as asked."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from endonym.models.needs import TOKENS_AT_ONCE
from endonym.teach.settings import Config


@dataclass(frozen=True)
class Machine:
    """What decides whether a setting can be honoured."""

    device: str
    """cuda, mps or cpu: the fastest there is."""
    packs: bool
    """Whether the library that keeps weights in 4 or 8 bits is installed."""
    context: int | None = None
    """Longest text the base model was made for, in tokens."""
    bf16: bool = True
    """Whether the device computes in bf16 itself; on a CPU it may be slow."""


@dataclass(frozen=True)
class Mapped:
    """A recipe with its settings, and what was not done as asked."""

    recipe: str
    settings: dict[str, Any]
    notes: list[str]


def look(base: str) -> Machine:
    """This machine with a base model; loads PyTorch."""
    from endonym.models.load import device, training_format
    from endonym.models.needs import size_of

    size, where = size_of(base), device()
    packs = importlib.util.find_spec("bitsandbytes") is not None
    return Machine(where.type, packs, size.context if size else None, training_format("auto", where) != "float16")


def composing(cfg: Config) -> dict[str, Any]:
    """Settings of `compose`, beside those of the project."""
    return {} if cfg.max_rows is None else {"most": cfg.max_rows}


def mapped(cfg: Config, num_rows: float, machine: Machine) -> Mapped:
    """Recipe and settings for `num_rows` training rows an epoch."""
    notes: list[str] = []
    per_step = cfg.batch_size * cfg.gradient_accumulation_steps
    steps = max(1, math.ceil(cfg.epochs * num_rows / per_step))
    longest = cfg.max_length
    if machine.context is not None and longest > machine.context:
        notes.append(f"maxLength {longest} is more than the base model's {machine.context} tokens: that many are taken")
        longest = machine.context
    last = min(steps, cfg.max_steps or steps)
    falls = cfg.lr_scheduler_type != "constant"
    settings: dict[str, Any] = {
        "rank": cfg.rank, "alpha": cfg.alpha, "dropout": cfg.dropout, "targets": cfg.target_modules,
        "batch_size": per_step, "batch_tokens": max(64, min(TOKENS_AT_ONCE, cfg.batch_size * longest)), "steps": last,
        "learning_rate": cfg.learning_rate, "schedule": cfg.lr_scheduler_type, "final": 0.0 if falls else 1.0,
        "warmup_steps": _warmup(cfg, last, notes), "warmup": 0.0, "weight_decay": cfg.weight_decay,
        "clip": cfg.max_grad_norm, "beta1": cfg.adam_beta1, "beta2": cfg.adam_beta2, "epsilon": cfg.adam_epsilon,
        "max_length": longest, "evaluate_every": cfg.eval_steps, "save_every": cfg.save_steps,
        "log_every": cfg.logging_steps, "seed": cfg.seed,
    }  # fmt: skip
    settings["device"] = device = cfg.device if cfg.device in ("auto", "cpu", machine.device) else "auto"
    if device != cfg.device:
        notes.append(f"this machine has no device {cfg.device}: training runs on {machine.device}")
    settings["dtype"] = _dtype(cfg, machine.device if device == "auto" else device, machine.bf16, notes)
    bits = {"none": 0, "8bit": 8, "4bit": 4}[cfg.quantization]
    if bits and not machine.packs:
        notes.append(
            f"quantization {cfg.quantization} needs bitsandbytes, which is not installed (pip install 'endonym[qlora]'): "
            "the base is kept whole"
        )
        bits = 0
    return Mapped("qlora" if bits else "lora", settings | ({"bits": bits} if bits else {}), notes)


def _warmup(cfg: Config, steps: int, notes: list[str]) -> int:
    """Warm-up in steps; at least one, which is none, and a tenth of a run that would be over before it had warmed up."""
    if cfg.warmup_steps * 2 <= steps:
        return max(1, cfg.warmup_steps)
    shorter = max(1, steps // 10)
    if cfg.warmup_steps > shorter:
        notes.append(
            f"warmupSteps {cfg.warmup_steps} would be more than half of the {steps} steps there are: {shorter} are taken"
        )
    return min(max(1, cfg.warmup_steps), shorter)


def _dtype(cfg: Config, device: str, bf16: bool, notes: list[str]) -> str:
    """The number format on `device`, which computes in `bf16` itself or not. `auto` takes fp16 on a GPU that does not."""
    if cfg.fp16 is True and device != "cpu":
        return "float16"
    if cfg.fp16 is True:
        notes.append(
            "fp16 is for GPUs, on a CPU it is many times slower than fp32: the format is chosen as with auto (bf16 where it is faster)"
        )
    if cfg.bf16 is True and not bf16 and device != "cpu":
        instead = "fp32" if cfg.fp16 is False else "fp16"
        notes.append(f"this GPU does not compute in bf16: {instead} is used")
        return "float32" if cfg.fp16 is False else "float16"
    if cfg.bf16 is True:
        return "bfloat16"
    wide = cfg.bf16 is False or (cfg.fp16 is False and not bf16 and device != "cpu")
    return "float32" if wide else "auto"


def in_parts(cfg: Config, settings: Mapping[str, Any], tokens_per_step: float) -> list[str]:
    """A note where fewer rows are computed at once than was asked for, because a step's rows are longer than the tokens taken at once."""
    rows = int(settings["batch_tokens"] * settings["batch_size"] / max(1.0, tokens_per_step))
    if rows >= min(cfg.batch_size, settings["batch_size"]):
        return []
    rows = max(1, rows)
    parts = math.ceil(settings["batch_size"] / rows)
    return [
        f"batchSize {cfg.batch_size} would be more than {settings['batch_tokens']} tokens at once: about {rows} rows are computed at once, "
        f"{parts} times a step; a step still sees {settings['batch_size']} rows, so what is learned is the same"
    ]
