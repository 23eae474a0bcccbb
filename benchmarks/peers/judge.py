"""Render the rows all systems must train on, and score every system's adapter alike: fp32, row by row, plain transformers."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from rendering import IGNORE, about, read, render
from transformers import AutoModelForCausalLM, AutoTokenizer

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
result = {"loss": total / count, "expected": about(rows), "longest": max(len(ids) for ids, _ in rows)}
Path(job["result"]).write_text(json.dumps(result), encoding="utf-8")
