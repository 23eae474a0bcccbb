"""Run the job with TRL's SFTTrainer on prompts and completions, as its documentation shows it."""

from __future__ import annotations

from pathlib import Path

from datasets import Dataset
from measured import Watch, arguments, longest, read_job, write_result
from peft import LoraConfig
from rendering import read
from trl import SFTConfig, SFTTrainer

job = read_job()
watch = Watch()
trainer = SFTTrainer(
    model=job["base"],
    args=SFTConfig(**{"max_length": longest(job), **arguments(job)}),
    train_dataset=Dataset.from_list([{"prompt": m[:-1], "completion": m[-1:]} for m in read(job["train"])]),
    peft_config=LoraConfig(r=job["rank"], lora_alpha=job["alpha"], target_modules="all-linear", task_type="CAUSAL_LM"),
    callbacks=[watch],
)
trainer.train()
adapter = Path(job["work"]) / "adapter"
trainer.model.save_pretrained(adapter)
write_result(job, watch, adapter)
