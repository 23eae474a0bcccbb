"""The trained adapter alone (peft): a few megabytes that go on top of the base model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from endonym.errors import UsageError
from endonym.export.card import write_card
from endonym.export.parity import Tolerance
from endonym.export.source import Source

if TYPE_CHECKING:
    from endonym.models.packed import Rounding

RUNTIME = "transformers"


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def export(model: Source, cfg: Config, out: Path) -> Path:
    """Copy the adapter, name its base by its public id, add tokenizer and model card. Raises UsageError without an adapter."""
    from endonym.models.packed import rounding_of

    adapter = model.folder / "adapter"
    if not adapter.is_dir():
        raise UsageError("this model was trained without an adapter", "Use: endonym export merged")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copyfile(adapter / name, out / name)
    rounding = rounding_of(adapter)
    if rounding is not None:
        rounding.save(out)
    settings = json.loads((out / "adapter_config.json").read_text(encoding="utf-8"))
    # A path of this computer would mean nothing elsewhere, so a base with a public id is named by it.
    settings["base_model_name_or_path"] = model.base.get("hub") or str(model.loaded.base)
    (out / "adapter_config.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    model.save_tokenizer(out)
    write_card(model, out, "peft", _use(rounding))
    return out


def _use(rounding: Rounding | None) -> str:
    """The card's example, with the base rounded as it was in training."""
    if rounding is None:
        return USE
    how = "load_in_8bit=True"
    if rounding.bits == 4:
        how = f'load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.{rounding.dtype}'
    example = USE.replace("from peft", "import torch\nfrom peft").replace(
        "Tokenizer\n", "Tokenizer, BitsAndBytesConfig\n", 1
    )
    return example.replace(
        '"{base}")',
        f'\n    "{{base}}", dtype=torch.{rounding.dtype}, quantization_config=BitsAndBytesConfig(\n        {how}\n    ),\n)',
    )


def tolerance(cfg: Config) -> Tolerance:
    """The same weights in the same format: only the order of additions may differ."""
    return Tolerance(near_tie=1e-3, bits_per_byte=1e-4, logit_gap=1e-2)


USE = """```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = AutoModelForCausalLM.from_pretrained("{base}")
model = PeftModel.from_pretrained(model, "FOLDER")
chat = [{{"role": "user", "content": "..."}}]
prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
print(tokenizer.decode(model.generate(**prompt, max_new_tokens=100, do_sample=False)[0, prompt["input_ids"].shape[1]:]))
```
"""
