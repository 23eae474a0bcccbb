#!/usr/bin/env python3
"""Whether `endonym diagnose` tells runs that learned by heart from runs that passed over their text once.

    python benchmarks/memorisation.py TEXT --seeds 5 --json

TEXT holds one text a line. For every seed a small decoder is trained from random weights on a few of them, twice, by the loop that all
recipes use: for fifty passes without weight decay, keeping what does best on the training texts, and for one pass. Canaries are planted in both. It is right when it
calls every one of the first memorising and none of the second. All in one process, without jobs. Exit code 1 when it is wrong once.
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
from types import SimpleNamespace
from typing import Any

import torch

from endonym import plugins
from endonym.data import canaries
from endonym.data.dataset import Dataset, DatasetWriter
from endonym.diagnose import run as diagnose
from endonym.models.load import Loaded, load_model
from endonym.train.finish import save_weights
from endonym.train.fit import fit
from endonym.train.losses import next_token
from endonym.train.network import ready, trainable
from endonym.train.rows import prepare
from endonym.train.settings import FitConfig
from endonym.types import Chat, Message

BATCH, CANARIES = 8, 6
SHORTEST, LONGEST = 110, 200
"""Bytes of the lines that are used: long enough to be cut 50 bytes after 50."""


def main() -> int:
    """Train, diagnose and report; exit code 1 when a verdict is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="Texts, one a line.")
    parser.add_argument("--tokens", default="512,bytes", help="Tokenizers: bytes, or a size of a byte-level BPE.")
    parser.add_argument("--seeds", type=int, default=5, help="Pairs of runs with each tokenizer.")
    parser.add_argument("--first-seed", type=int, default=0, help="Seed of the first pair.")
    parser.add_argument("--texts", type=int, default=24, help="Texts learned from, and as many held out.")
    parser.add_argument("--passes", type=int, default=50, help="Passes of the runs that shall learn by heart.")
    parser.add_argument("--width", type=int, default=64, help="Width of the decoder, which has two layers.")
    parser.add_argument("--learning-rate", type=float, default=1e-2, help="Highest learning rate of both.")
    parser.add_argument("--json", action="store_true", help="Print the report as JSON; progress goes to stderr.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = [line.strip() for line in options.text.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if SHORTEST < len(line.encode()) < LONGEST]
    trials = []
    for kind in options.tokens.split(","):
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            with tempfile.TemporaryDirectory(prefix="memorisation-") as scratch:
                folder = Path(scratch)
                data = composed(lines, seed, options.texts, folder / "chats")
                base = small_model(lines, kind, seed, options.width, folder / "base")
                for way, (settings, watch) in ways(seed, options).items():
                    trials.append(
                        {"tokens": kind, "seed": seed, "run": way, **trial(base, data, settings, watch, folder / way)}
                    )
                    told = ", ".join(f"{key} {value}" for key, value in trials[-1].items())
                    print(told, file=sys.stderr if options.json else sys.stdout, flush=True)
    report = {**summed(trials), "trials": trials}
    told = "flagged {flagged} of {by_heart} runs that learned by heart, and {falsely} of {once} that read once"
    print(json.dumps(report, indent=1, ensure_ascii=False) if options.json else told.format_map(report))
    return int(report["flagged"] < report["by_heart"] or report["falsely"] > 0)


class Quiet(SimpleNamespace):
    """Stands in for a job: has its folders, and listens to nobody."""

    verb = "diagnose"

    def cancelled(self) -> bool:
        return False

    def summary(self, **values: Any) -> None:
        pass

    log = metric = event = tick = lambda self, *told, **more: None


def composed(lines: list[str], seed: int, number: int, folder: Path) -> Dataset:
    """Lines drawn with the seed as chats of plain text, half to learn from and half held out."""
    chosen = random.Random(seed).sample(sorted(set(lines)), 2 * number)
    with DatasetWriter(folder) as out:
        for n, line in enumerate(chosen):
            chat = Chat(f"c{n}", (Message("assistant", line),), f"text:{n}", "complete", "und")
            out.keep(chat, "train" if n < number else "valid")
    return Dataset(folder, "train")


def ways(seed: int, options: argparse.Namespace) -> dict[str, tuple[FitConfig, str]]:
    """Settings of both runs, and the split by which they keep the best weights."""
    rows = options.texts + sum(canaries.TIMES[n % len(canaries.TIMES)] for n in range(CANARIES))
    one_pass = math.ceil(rows / BATCH)

    def settings(steps: int, weight_decay: float) -> FitConfig:
        return FitConfig(
            steps=steps, weight_decay=weight_decay, learning_rate=options.learning_rate, batch_size=BATCH, evaluate_every=steps,
            save_every=steps, samples=0, seed=seed, canaries=CANARIES, dtype="float32",
        )  # fmt: skip

    return {"by heart": (settings(options.passes * one_pass, 0.0), "train"), "once": (settings(one_pass, 0.1), "valid")}


def trial(base: Path, data: Dataset, cfg: FitConfig, watch: str, folder: Path) -> dict[str, Any]:
    """Train with the settings, keeping the weights that were best on the split `watch`, and diagnose; seconds are those of the processor."""
    output, found = folder / "output", folder / "diagnosis"
    for path in (output, found):
        path.mkdir(parents=True)
    began = time.process_time()
    loaded = load_model(base, dtype="float32")
    job = Quiet(folder=folder, output=output, project=SimpleNamespace(path=None, runs=folder.parent))
    # The loop keeps the weights that were best on what it watches: to learn by heart, it must watch what it learns.
    rows, watched, _ = prepare(data.records("train"), data.records(watch), loaded.renderer, cfg, job)
    network = trainable(loaded.model, cfg, loaded)
    result = fit(ready(loaded, network).model, rows, watched, next_token, cfg, job)
    trained = time.process_time() - began
    leave(loaded, cfg, result.steps, output)
    job = Quiet(
        inputs={"model": output}, output=found, plugins={n: (m := plugins.load("probe", n), m.Config()) for n in diagnose.DEFAULT},
        project=SimpleNamespace(path=None, runs=folder.parent, ancestry=lambda path: {"chats": data.folder}),
    )  # fmt: skip
    diagnose.run(diagnose.Config(), job)
    told = json.loads((found / "diagnosis.json").read_text(encoding="utf-8"))
    return {
        "verdict": told["verdict"], "signs": {n: [s["says"] for s in f["signs"]] for n, f in told["findings"].items() if f["signs"]},
        "steps": result.steps, "train_seconds": round(trained, 1), "seconds": round(time.process_time() - began - trained, 1),
        "measures": {m["name"]: round(m["value"], 4) for f in told["findings"].values() for m in f["measures"]},
    }  # fmt: skip


def leave(loaded: Loaded, cfg: FitConfig, steps: int, output: Path) -> None:
    """What a training job leaves, as far as a diagnosis reads it."""
    save_weights(loaded.model, loaded.tokenizer, output / "weights")
    about = {
        "recipe": "scratch", "base_hash": "", "settings": cfg.model_dump(mode="json"), "renderer": loaded.renderer.hash,
        "steps": steps,
    }  # fmt: skip
    (output / "model.json").write_text(json.dumps(about), encoding="utf-8")
    (output.parent / "artifact.json").write_text(json.dumps({"job": 0, "hash": ""}), encoding="utf-8")


def summed(trials: list[dict[str, Any]]) -> dict[str, int]:
    """How many runs of each sort there were, and how many of them were called memorising."""
    found = {}
    for name, flagged, way in (("by_heart", "flagged", "by heart"), ("once", "falsely", "once")):
        own = [one for one in trials if one["run"] == way]
        found |= {name: len(own), flagged: sum(one["verdict"] == "memorising" for one in own)}
    return found


def small_model(texts: list[str], kind: str, seed: int, width: int, folder: Path) -> Path:
    """A decoder of two layers with random weights; its tokenizer knows the 256 bytes, with as many merges as fill the size named."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet, special = sorted(pre_tokenizers.ByteLevel.alphabet()), ["<|begin|>", "<|end|>"]
    size = len(alphabet) + len(special) if kind == "bytes" else int(kind)
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=special[0], eos_token=special[1], pad_token=special[1]
    )
    made.save_pretrained(folder)
    shape = LlamaConfig(
        vocab_size=len(made), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, bos_token_id=made.bos_token_id, eos_token_id=made.eos_token_id, pad_token_id=made.pad_token_id,
        tie_word_embeddings=True, initializer_range=0.08,
    )  # fmt: skip
    torch.manual_seed(seed)
    LlamaForCausalLM(shape).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
