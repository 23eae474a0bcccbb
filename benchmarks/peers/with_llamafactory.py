"""Run the job with LLaMA-Factory's own entry point, on a dataset and a template registered as its documentation says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from llamafactory.data.formatter import StringFormatter
from llamafactory.data.template import register_template
from llamafactory.train.tuner import run_exp
from measured import Watch, arguments, longest, read_job, write_result

job = read_job()
work = Path(job["work"])
register_template(
    name="benchmark",
    format_user=StringFormatter(slots=["<|im_start|>user\n{{content}}<|im_end|>\n<|im_start|>assistant\n"]),
    format_assistant=StringFormatter(slots=["{{content}}<|im_end|>"]),
    format_system=StringFormatter(slots=["<|im_start|>system\n{{content}}<|im_end|>\n"]),
    stop_words=["<|im_end|>"],
)
shutil.copy(job["train"], work / "rows.jsonl")
columns = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
described = {
    "rows": {
        "file_name": "rows.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {**columns, "system_tag": "system"},
    }
}
(work / "dataset_info.json").write_text(json.dumps(described), encoding="utf-8")
watch = Watch()
settings = {
    "stage": "sft",
    "do_train": True,
    "model_name_or_path": job["base"],
    "dataset": "rows",
    "dataset_dir": str(work),
    "template": "benchmark",
    "cutoff_len": longest(job),
    "finetuning_type": "lora",
    "lora_target": "all",
    "lora_rank": job["rank"],
    "lora_alpha": job["alpha"],
    **arguments(job),
}
run_exp(args=settings, callbacks=[watch])
write_result(job, watch, Path(settings["output_dir"]))
