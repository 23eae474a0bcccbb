#!/usr/bin/env python3
"""Whether `endonym diagnose` tells runs that learned by heart from runs that passed over their text once.

    python benchmarks/memorisation.py TEXT --language amh --seeds 5 --json

TEXT holds one text a line. For every seed a small decoder is trained from random weights on a few of them, twice: for fifty
passes without weight decay and dropout, keeping the last weights, and for one pass with the usual settings. Canaries are planted in both. It
is right when it calls every one of the first memorising and none of the second. Exit code 1 when it is wrong once.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from endonym.data import canaries
from endonym.jobs.plan import run_plan
from endonym.jobs.submit import submit
from endonym.project import Project

PLAN = """
steps = ["ingest", "clean", "align", "split", "compose"]

[project]
language = "{language}"
base = "{base}"

[clean]
plugins = ["unicode"]

[split]
plugins = ["near_duplicate"]
test_size = {sealed}
valid_size = {held}

[compose.complete]
weight = 1.0

[[sources]]
files = ["raw/text.txt"]
licence = "as that of the file"

[sources.settings]
language = "{language}"
paragraphs = "line"
"""
BATCH, SEALED, CANARIES = 4, 8, 6


def main() -> int:
    """Train, diagnose and report; exit code 1 when a verdict is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="Texts, one a line.")
    parser.add_argument("--language", default="amh", help="ISO 639-3 code.")
    parser.add_argument("--tokens", default="bytes,512", help="Tokenizers: bytes, or a size of a byte-level BPE.")
    parser.add_argument("--seeds", type=int, default=5, help="Pairs of runs with each tokenizer.")
    parser.add_argument("--first-seed", type=int, default=0, help="Seed of the first pair.")
    parser.add_argument("--texts", type=int, default=24, help="Texts learned from, about.")
    parser.add_argument("--passes", type=int, default=50, help="Passes of the runs that shall learn by heart.")
    parser.add_argument("--size", type=float, default=0.2, help="Millions of parameters.")
    parser.add_argument("--learning-rate", type=float, default=1e-2, help="Highest learning rate of both.")
    parser.add_argument("--json", action="store_true", help="Print the report as JSON; progress goes to stderr.")
    options = parser.parse_args()
    lines = [
        line.strip() for line in options.text.read_text(encoding="utf-8").splitlines() if 110 < len(line.encode()) < 200
    ]
    trials = []
    for kind in options.tokens.split(","):
        with tempfile.TemporaryDirectory(prefix="memorisation-") as scratch:
            project = prepared(Path(scratch), lines, kind, options)
            for seed in range(options.first_seed, options.first_seed + options.seeds):
                for way, settings in ways(seed, options).items():
                    trials.append({"tokens": kind, "seed": seed, "run": way, **trial(project, settings)})
                    told = ", ".join(f"{key} {value}" for key, value in trials[-1].items())
                    print(told, file=sys.stderr if options.json else sys.stdout, flush=True)
    report = {**summed(trials), "trials": trials}
    told = "flagged {flagged} of {by_heart} runs that learned by heart, and {falsely} of {once} that read once"
    print(json.dumps(report, indent=1, ensure_ascii=False) if options.json else told.format_map(report))
    return int(report["flagged"] < report["by_heart"] or report["falsely"] > 0)


def prepared(folder: Path, lines: list[str], kind: str, options: argparse.Namespace) -> Project:
    """A project with some of the lines, divided and composed, on a base that is little more than a tokenizer."""
    chosen = random.Random(options.first_seed).sample(lines, 2 * options.texts + SEALED)
    base = tokenizer(chosen, kind, folder / "base")
    raw = folder / "home" / "raw"
    raw.mkdir(parents=True)
    (raw / "text.txt").write_text("\n".join(chosen) + "\n", encoding="utf-8")
    settings = PLAN.format(language=options.language, base=base, held=options.texts, sealed=SEALED)
    (folder / "home" / "endonym.toml").write_text(settings, encoding="utf-8")
    project = Project(folder / "home")
    run_plan(project)
    return project


def ways(seed: int, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Settings of both runs; both keep the weights of their last step, the only one that is evaluated after the first."""
    rows = options.texts + sum(canaries.TIMES[n % len(canaries.TIMES)] for n in range(CANARIES))
    one_pass = math.ceil(rows / BATCH)
    shared = {
        "size": options.size, "seed": seed, "batch_size": BATCH, "canaries": CANARIES, "samples": 0, "patience": 0,
        "learning_rate": options.learning_rate, "valid_rows": options.texts,
    }  # fmt: skip
    found = {
        "by heart": {"steps": options.passes * one_pass, "weight_decay": 0.0, "dropout": 0.0},
        "once": {"steps": one_pass},
    }
    return {
        way: {**shared, **own, "evaluate_every": own["steps"], "save_every": own["steps"]} for way, own in found.items()
    }


def trial(project: Project, settings: dict[str, Any]) -> dict[str, Any]:
    """Train with the settings, and diagnose."""
    begun = time.monotonic()
    row = submit(project, "train", "scratch", settings, wait=True)
    trained = time.monotonic() - begun
    done = submit(project, "diagnose", "", {"run": [str(row.id)]}, wait=True)
    found = json.loads((project.output(done.id) / "diagnosis.json").read_text(encoding="utf-8"))
    values = {m["name"]: round(m["value"], 4) for f in found["findings"].values() for m in f["measures"]}
    return {
        "verdict": found["verdict"], "signs": {n: [s["says"] for s in f["signs"]] for n, f in found["findings"].items() if f["signs"]},
        "steps": settings["steps"], "train_seconds": round(trained, 1), "seconds": round(time.monotonic() - begun - trained, 1),
        "measures": values,
    }  # fmt: skip


def summed(trials: list[dict[str, Any]]) -> dict[str, int]:
    """How many runs of each sort there were, and how many of them were called memorising."""
    found = {}
    for name, flagged, way in (("by_heart", "flagged", "by heart"), ("once", "falsely", "once")):
        own = [one for one in trials if one["run"] == way]
        found |= {name: len(own), flagged: sum(one["verdict"] == "memorising" for one in own)}
    return found


def tokenizer(lines: list[str], kind: str, folder: Path) -> Path:
    """A base that is little more than its tokenizer: the 256 bytes, with as many merges as fill the size that is named."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    size = len(alphabet) + 2 if kind == "bytes" else int(kind)
    special = ["<|begin|>", "<|end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(lines, trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=special[0], eos_token=special[1], pad_token=special[1]
    )
    made.save_pretrained(folder)
    shape = LlamaConfig(
        vocab_size=len(made), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1,
        bos_token_id=made.bos_token_id, eos_token_id=made.eos_token_id, pad_token_id=made.pad_token_id,
    )  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
