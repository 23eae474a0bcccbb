"""Render the rows all systems must train on, and score every system's adapter alike: fp32, row by row, plain transformers."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from rendering import IGNORE, about, read, render
from transformers import AutoModelForCausalLM, AutoTokenizer


def product_speed(device: str, size: int) -> float:
    """Operations a second of a product of two square matrices, in whichever of bf16 and fp32 is faster."""
    best = 0.0
    for kind in (torch.bfloat16, torch.float32):
        a = torch.ones(size, size, dtype=kind, device=device)
        for _ in range(6):
            begun = time.perf_counter()
            a @ a
            if device == "cuda":
                torch.cuda.synchronize()
            best = max(best, 2 * size**3 / (time.perf_counter() - begun))
    return best


def multiplied(model: Any) -> int:
    """Weights that multiply every token: matrices, of which input rows that are only looked up are none."""
    looked_up = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    looked_up.discard(id(model.get_output_embeddings().weight))
    return sum(p.numel() for p in model.parameters() if p.ndim == 2 and id(p) not in looked_up)


job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
tokenizer = AutoTokenizer.from_pretrained(job["base"])
model = AutoModelForCausalLM.from_pretrained(job["base"], dtype=torch.float32)
if job.get("adapter"):
    model = PeftModel.from_pretrained(model, job["adapter"])
model.eval()
total, count = 0.0, 0
with torch.no_grad():
    for ids, labels in (render(tokenizer, messages) for messages in read(job["valid"])):
        logits = model(input_ids=torch.tensor([ids])).logits[0, :-1]
        targets = torch.tensor(labels[1:])
        total += float(torch.nn.functional.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="sum"))
        count += int((targets != IGNORE).sum())
rows = [render(tokenizer, messages) for messages in read(job["train"])]
result = {
    "loss": total / count, "expected": about(rows), "longest": max(len(ids) for ids, _ in rows),
    "multiplied": multiplied(model),
    "product_speed": 0.0 if job.get("adapter") else product_speed(job["device"], 8192 if job["device"] == "cuda" else 2048),
}  # fmt: skip
Path(job["result"]).write_text(json.dumps(result), encoding="utf-8")
