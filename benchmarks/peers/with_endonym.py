"""Run the job with Endonym through its Python API: rows become the chats of a project, and `train lora` runs on them."""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rendering import about, read

import endonym
from endonym.data.dataset import DatasetWriter
from endonym.jobs.submit import submit
from endonym.project import Project
from endonym.store import events
from endonym.store import jobs as store
from endonym.store.files import hash_folder
from endonym.store.process import identity
from endonym.types import Chat, Message


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    project = Project.create(Path(job["work"]) / "project", language="und", base=job["base"])
    inputs = {
        "split": put(project, "split", {"train": [], "valid": [], "test": []}),
        "dataset": put(project, "chats", {name: chats(job[name]) for name in ("train", "valid")}),
    }
    settings = {
        "steps": job["steps"], "batch_size": job["batch_size"], "learning_rate": job["learning_rate"], "warmup": 0, "final": 1,
        "weight_decay": job["weight_decay"], "clip": job["clip"], "max_length": job["max_length"], "seed": job["seed"],
        "rank": job["rank"], "alpha": job["alpha"], "evaluate_every": job["steps"], "save_every": job["steps"],
        "valid_rows": 8, "samples": 0, **job["setting"],
    }  # fmt: skip
    row = submit(project, "train", "lora", settings, inputs=inputs, wait=True)
    output = project.output(row.id)
    trained = json.loads((output / "model.json").read_text(encoding="utf-8"))
    if trained["best_step"] != job["steps"]:
        sys.exit(f"kept the weights of step {trained['best_step']}, where the peers keep those of the last one")
    result = {
        "times": times(project, row.id),
        "prepared": about(rendered(job)),
        # Counted in its steps by training itself, of the rows it rendered, laid out and took: not what it was given.
        "seen": {"tokens": trained["tokens"], "learned": trained["learned_tokens"]},
        "adapter": str(output / "adapter"),
        "versions": {name: version_of(name) for name in job["packages"]},
        "device_peak_bytes": trained["peak_memory_bytes"] if job["device"] == "cuda" else 0,
    }
    Path(job["result"]).write_text(json.dumps(result), encoding="utf-8")


def chats(path: str) -> list[Chat]:
    return [
        Chat(
            f"{number:08d}",
            tuple(Message(m["role"], m["content"]) for m in messages),
            f"{Path(path).name}:{number + 1}",
        )
        for number, messages in enumerate(read(path))
    ]


def put(project: Project, kind: str, splits: dict[str, list[Chat]]) -> int:
    """Lay a finished artifact into the project, as a stage would; returns its job's number."""
    row = store.find_or_create(project.db, "compose" if kind == "chats" else kind, "", kind, {}, {})
    folder = project.runs / row.folder / "output"
    with DatasetWriter(folder) as out:
        for name, records in splits.items():
            out.keep_empty(name)
            for record in records:
                out.read(record)
                out.keep(record, name)
    store.claim(project.db, row.id, identity())
    store.finish(project.db, row.id, "succeeded", {}, {})
    store.register_artifact(project.db, row.id, kind, hash_folder(folder), [])
    return row.id


def times(project: Project, job: int) -> list[float]:
    """When training began, which is after the evaluation of the untrained model, and when each step ended."""
    points = [e for e in events.since(project.db, job) if e.kind == "metric"]
    begun = next(e.time for e in points if e.data["name"] == "valid_loss")
    return [begun, *(e.time for e in points if e.data["name"] == "loss")]


def rendered(job: dict[str, Any]) -> list[tuple[list[int], list[int]]]:
    """The rows as training renders them; read only now, so that this process is small while the worker trains."""
    from endonym.models.load import load_tokenizer

    renderer = load_tokenizer(job["base"]).renderer
    examples = [renderer.example(chat, every_turn=True) for chat in chats(job["train"])]
    return [(example.ids, example.labels) for example in examples]


def version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return endonym.__version__


if __name__ == "__main__":
    main()
