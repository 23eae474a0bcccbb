"""Base and adapter merged into one model (safetensors), for transformers, vLLM and others."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym.export.card import write_card
from endonym.export.parity import Tolerance
from endonym.export.source import Source

RUNTIME = "transformers"


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Number format of the saved weights. float32 answers as trained; bfloat16 is half as large, but rounds "
        "away part of what a small adapter learned.",
    )


def export(model: Source, cfg: Config, out: Path) -> Path:
    """Write config, weights, tokenizer and model card; embeddings that an adapter made different are saved apart."""
    import torch
    from safetensors.torch import save_file

    from endonym.models.load import OURS
    from endonym.models.nets.banked import PREFIX

    dtype = {"bfloat16": torch.bfloat16, "float32": torch.float32}[cfg.dtype]
    tied = model.is_tied()
    weights = {}
    for name, tensor in model.merged():
        if tied and name == "lm_head.weight":
            continue
        weights[name] = (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous().clone()
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    (out / "model.safetensors").chmod(0o644)
    model.save_config(out, dtype=cfg.dtype, tie_word_embeddings=tied)
    model.save_tokenizer(out)
    kind = str(model.loaded.model.config.model_type)
    known = ""
    if kind.startswith(OURS):
        known = f"import endonym.models.nets.{kind.removeprefix(OURS)}  # makes the network known to transformers\n"
    elif kind.startswith(PREFIX):
        known = f"from endonym.models.nets.banked import classes\n\nclasses({kind.removeprefix(PREFIX)!r})  # makes it known to transformers\n"
    write_card(model, out, "transformers", USE.replace("IMPORT", known))
    return out


def tolerance(cfg: Config) -> Tolerance:
    """float32 differs in the last digits only; bfloat16 keeps eight significant bits of each weight."""
    if cfg.dtype == "float32":
        return Tolerance(near_tie=1e-3, bits_per_byte=1e-4, logit_gap=1e-2)
    return Tolerance(near_tie=0.25, bits_per_byte=0.1, logit_gap=2.0)


USE = """```python
IMPORTfrom transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = AutoModelForCausalLM.from_pretrained("FOLDER")
chat = [{{"role": "user", "content": "..."}}]
prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
print(tokenizer.decode(model.generate(**prompt, max_new_tokens=100, do_sample=False)[0, prompt["input_ids"].shape[1]:]))
```
"""
