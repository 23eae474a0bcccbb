"""Run `fit` on forked processes that train together: `python -m tests.data.devices MODEL OUT`, one process for all imports.

Each run leaves `OUT/<name>.safetensors` with the weights the first device ends with, and `OUT/<name>.json` with its curves.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path

import torch
import torch.distributed.fsdp
import transformers.models.llama.modeling_llama  # noqa: F401  what every fork would import again
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast  # noqa: F401

from endonym.models.load import load_model
from endonym.train.batches import Loss
from endonym.train.fit import Rows, fit
from endonym.train.losses import next_token
from endonym.train.network import ready, recompute
from endonym.train.ranks import _met
from endonym.train.recipes import full, lora
from endonym.train.sharded import among, world
from tests.test_train import SHORT_RUN, _examples, _Job

RUNS: dict[str, dict] = {
    "lora-1": {"recipe": "lora"},
    "lora-2": {"recipe": "lora", "devices": 2},
    "lora-3": {"recipe": "lora", "devices": 3, "rank": 2},
    "full-1": {"recipe": "full"},
    "full-2": {"recipe": "full", "devices": 2},
    "bf16-1": {"recipe": "lora", "dtype": "bfloat16"},
    "bf16-2": {"recipe": "lora", "devices": 2, "dtype": "bfloat16"},
    "recomputed": {"recipe": "full", "devices": 2, "recompute": True},
    "dropped": {"recipe": "full", "devices": 2, "dropout": 0.3, "average": 2},
    "killed": {"recipe": "full", "devices": 2, "dropout": 0.3, "average": 2, "dies_at": 9},
    "from-2-to-1": {"recipe": "full", "devices": 2, "dies_at": 9, "then": 1},
    "from-1-to-2": {"recipe": "full", "devices": 1, "dies_at": 9, "then": 2},
}
MODULES = {"lora": lora, "full": full}
LOSS: Loss = next_token
NORM = torch.nn.utils.get_total_norm


class Dying(_Job):
    """Counts nothing and dies of kill -9."""

    def metric(self, name, value, step=0):
        if step and step == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        super().metric(name, value, step)


def train(model: Path, folder: Path, dies_at: int, spec: dict) -> None:
    """One device's run of `spec`; the first leaves what came of it."""
    module = MODULES[spec["recipe"]]
    settings = {k: spec[k] for k in ("dropout", "average", "rank") if k in spec}
    cfg = module.Config(**{**SHORT_RUN, "batch_tokens": 64, **settings})
    torch.manual_seed(cfg.seed)
    loaded = load_model(model, dtype=spec.get("dtype", "float32"))
    network = module.network(cfg)(loaded)
    network.compute_dtype = torch.float32 if spec["recipe"] == "full" else None
    ready(loaded, network)
    if spec.get("recompute"):
        recompute(network)
    rows = _examples(30, 300)
    job = Dying(folder if world().rank == 0 else folder / str(world().rank), dies_at)
    job.folder.mkdir(parents=True, exist_ok=True)
    given = Rows(rows, [1.0] * len(rows), ["x"] * len(rows), ["x"] * len(rows))
    norms: list[float] = []

    def seen(gradients):
        value = NORM(gradients)
        norms.append(float(value))
        return value

    # AdamW goes the same way when all gradients are twice as large: their size is looked at by itself.
    torch.nn.utils.get_total_norm = seen
    result = fit(network, given, rows[:8], LOSS, cfg, job)
    job.curves["norm"] = dict(enumerate(norms))
    if world().rank == 0:
        weights = {n: p.detach().contiguous() for n, p in network.named_parameters() if p.requires_grad}
        save_file(weights, folder.with_suffix(".safetensors"))
        told = {"curves": job.curves, "lines": job.lines, "learned": result.learned_tokens, "tokens": result.tokens}
        folder.with_suffix(".json").write_text(json.dumps(told))


def together(model: Path, folder: Path, number: int, dies_at: int, spec: dict) -> None:
    """Run `spec` on `number` devices, each a fork of this process, and wait until all have ended."""
    meeting = folder / f"meeting-{number}-{dies_at}"
    meeting.mkdir(parents=True)
    children = []
    for rank in range(number):
        children.append(os.fork())
        if children[-1]:
            continue
        try:
            if number == 1:
                train(model, folder, dies_at, spec)
            else:
                with among(_met(rank, number, meeting)):
                    train(model, folder, dies_at, spec)
        except BaseException:
            if not dies_at:
                traceback.print_exc()
            os._exit(1)
        os._exit(0)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    expected = codes[0] == -signal.SIGKILL if dies_at else not any(codes)
    assert expected, f"{folder.name}: {codes}"


def main(model: Path, out: Path, names: list[str]) -> None:
    """All runs, or those named."""
    torch.set_num_threads(1)
    for name in names or RUNS:
        spec = RUNS[name]
        if dies_at := spec.get("dies_at", 0):
            together(model, out / name, spec.get("devices", 1), dies_at, spec)
        together(model, out / name, spec.get("then", spec.get("devices", 1)), 0, spec)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
