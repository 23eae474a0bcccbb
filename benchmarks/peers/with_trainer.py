"""Run the job with transformers' Trainer and peft, as their documentation shows it."""

from __future__ import annotations

from pathlib import Path

from measured import Watch, arguments, read_job, write_result
from peft import LoraConfig, get_peft_model
from rendering import read, render
from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments

job = read_job()
tokenizer = AutoTokenizer.from_pretrained(job["base"])
rows = [render(tokenizer, messages) for messages in read(job["train"])]
settings = arguments(job)
dtype = settings.pop("dtype", None)
model = AutoModelForCausalLM.from_pretrained(job["base"], **({"dtype": dtype} if dtype else {}))
model = get_peft_model(
    model,
    LoraConfig(r=job["rank"], lora_alpha=job["alpha"], target_modules="all-linear", task_type="CAUSAL_LM"),
)
watch = Watch()
trainer = Trainer(
    model=model,
    args=TrainingArguments(**settings),
    train_dataset=[{"input_ids": ids, "labels": labels} for ids, labels in rows],
    data_collator=DataCollatorForSeq2Seq(tokenizer, padding=True),
    callbacks=[watch],
)
trainer.train()
adapter = Path(job["work"]) / "adapter"
model.save_pretrained(adapter)
write_result(job, watch, adapter)
