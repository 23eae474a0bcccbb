"""Score the base model, the tuned model and simple baselines on the sealed test set, with intervals."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym import __version__
from endonym.data.dataset import Dataset
from endonym.errors import JobError
from endonym.evaluate import headed
from endonym.evaluate import systems as asking
from endonym.evaluate.items import Item, sealed
from endonym.evaluate.outputs import Outputs
from endonym.evaluate.own import Material, OwnItems
from endonym.evaluate.scoring import items_hash, score_all
from endonym.jobs.job import Job
from endonym.jobs.stage import Resolved
from endonym.models.weights import weights_hash
from endonym.retrieve.context import Context
from endonym.store.files import write_json
from endonym.store.tokens import Needs

if TYPE_CHECKING:
    from endonym.project import Project

KIND = "metric"
CHOICE = "many"
DEFAULT = [
    "chrf", "chrf_folded", "bleu", "bits_per_byte", "exact", "forgetting", "memorisation", "accuracy", "macro_f1", "tag_f1",
    "span_f1", "answer_exact", "answer_f1", "recall_at_1", "mrr",
]  # fmt: skip
INPUTS = {"dataset": "split", "chats": "chats", "model": "model?"}
PRODUCES = "scores"


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    systems: list[str] = Field(["tuned", "base"], description="Models to ask: tuned, base.")
    baselines: list[str] = Field(
        ["copy", "dictionary", "memory", "phrases", "ppm", "majority", "overlap"],
        description="Baselines to compare with.",
    )
    baseline: dict[str, dict[str, Any]] = Field(
        {}, description="Settings of baselines: [evaluate.baseline.ppm] order = 6."
    )
    tasks: list[str] = Field([], description="Tasks to score; empty for all that were composed.")
    max_items: int = Field(200, ge=0, description="Test items a task and direction, drawn with the seed; 0 for all.")
    max_new_tokens: int = Field(96, ge=1, description="Longest answer, in tokens.")
    batch_size: int = Field(32, ge=1, description="Questions asked together.")
    samples: int = Field(
        8, ge=0, description="Answers sampled beside the greedy one; the most agreed with is taken. 0 is greedy."
    )
    sample_temperature: float = Field(0.6, gt=0, le=2, description="How varied the sampled answers are.")
    draft_votes: int = Field(
        2,
        ge=0,
        description="How often the draft in the prompt counts among sampled answers; 0 takes the model's alone.",
    )
    sampled_tasks: list[str] = Field(["translate"], description="Tasks answered with samples; others are greedy.")
    also_without_hints: bool = Field(False, description="Ask the models a second time with bare prompts.")
    seed: int = Field(20, description="Seed that draws the items.")


def needs(resolved: Resolved, inputs: Mapping[str, Path | list[Path]], project: Project) -> Needs:
    """What this takes of the machine: base and tuned model may be there at once."""
    from endonym.models.needs import to_answer

    return to_answer(project.base, models=2)


def run(cfg: Config, job: Job) -> None:
    """Compose the test, ask every system, score, and write `scores.json`, `statistics.jsonl` and `outputs.jsonl`."""
    dataset = Dataset.of(job, "dataset")
    context = Context.load(Path(str(job.inputs["chats"])), job.project.path)
    model = Path(str(job.inputs["model"])) if "model" in job.inputs and "tuned" in cfg.systems else None
    head = headed.task_of(model)
    metrics = headed.fitting(job.plugins, head)
    items = sealed(dataset, context, headed.asked_of(head, cfg.tasks), cfg.max_items, cfg.seed, cfg.also_without_hints)
    job.log(f"{len(items)} questions from the sealed test, {len({(i.task, i.direction) for i in items})} kinds")
    baselines = headed.fitting(asking.load_baselines(cfg.baselines, cfg.baseline, job.project.path), head)
    outputs = Outputs(job.output / "outputs.jsonl")
    text_tasks = frozenset(task for module, _ in metrics.values() for task in _asked_for(module, items))
    lengths = asking.answer_lengths(Dataset.of(job, "chats"))
    samples = dict.fromkeys(cfg.sampled_tasks, cfg.samples)
    asked = asking.Asked(
        lengths,
        cfg.max_new_tokens,
        cfg.batch_size,
        text_tasks,
        samples,
        cfg.sample_temperature,
        cfg.draft_votes,
        job.cancelled,
    )
    about = job.project
    material = Material(items, dataset, Dataset.of(job, "chats"), about.path, about.language, about.pivot, cfg.seed)
    own = OwnItems.of(metrics, material, job)
    models = _models(cfg, job, head)
    total = len(items) * (len(models) * (1 + cfg.also_without_hints) + len(baselines)) + len(own) * len(models)
    progress = _Progress(job, total)
    hashes: dict[str, str] = {}
    for name, (module, settings) in baselines.items():
        missing = outputs.missing(name, items)
        learned = material.chats if getattr(module, "LEARNS", "") == "chats" else dataset
        for group, answers in asking.ask_baseline(module, settings, learned, missing, asked):
            outputs.add(name, group, answers)
        progress.add(len(items), name)
        hashes[name] = f"{name}:{settings.model_dump_json()}"
    for name in models:
        if job.cancelled():
            return
        hashes.update(_ask(name, cfg, job, items, own, outputs, asked, progress))
    if job.cancelled():
        return
    rows, statistics = score_all([*items, *own.all], list(hashes), outputs, metrics)
    data_hash = items_hash(dataset, items)
    for row in rows:
        row.update(data_hash=data_hash, model_hash=hashes[row["system"]])
    _write(cfg, job, rows, statistics, {"data_hash": data_hash, "models": hashes, "items": len(items)})


def _ask(
    name: str,
    cfg: Config,
    job: Job,
    items: list[Item],
    own: OwnItems,
    outputs: Outputs,
    asked: asking.Asked,
    progress: _Progress,
) -> dict[str, str]:
    """Ask one model, with hints and, if wished, without; returns the hash of each as it was asked."""
    from endonym.models.load import load_artifact, load_model

    tuned = Path(str(job.inputs["model"])) if name == "tuned" else None
    model = Path(str(job.inputs["model"])) if "model" in job.inputs else None
    job.log(f"asking {name}")
    if headed.task_of(model) and model is not None:
        folder = tuned or model / headed.PLAIN
        headed.ask(folder, name, items, outputs, asked)
        progress.add(len(items), name)
        return {name: weights_hash(folder / "weights")}
    loaded = load_artifact(tuned) if tuned else load_model(job.project.base)
    content = weights_hash(loaded.base)
    if tuned:
        content = json.loads((tuned.parent / "artifact.json").read_text(encoding="utf-8"))["hash"]
    hashes = {}
    for bare in (False, True) if cfg.also_without_hints else (False,):
        system = name + asking.BARE * bare
        for chunk in asking.chunks(items, cfg.batch_size, bare):
            if job.cancelled():
                break
            missing = outputs.missing(system, chunk)
            if missing:
                outputs.add(system, missing, asking.ask_model(loaded, missing, asked, bare))
            progress.add(len(chunk), system)
        hashes[system] = content
    own.ask(loaded, name, outputs, asked)
    progress.add(len(own), name)
    del loaded
    gc.collect()
    return hashes


def _models(cfg: Config, job: Job, head: str) -> list[str]:
    unknown = [name for name in cfg.systems if name not in asking.MODELS]
    if unknown:
        raise JobError(f"there is no system '{unknown[0]}'", f"Known: {', '.join(asking.MODELS)}.")
    if head and not (Path(str(job.inputs["model"])) / headed.PLAIN / "weights").is_dir():
        return ["tuned"]
    return [name for name in cfg.systems if name != "tuned" or "model" in job.inputs]


def _asked_for(module: ModuleType, items: list[Item]) -> Iterator[str]:
    """Tasks whose written answers a metric looks at; a metric names its tasks in `TASKS`, none means all."""
    if getattr(module, "NEEDS", "text") == "text":
        yield from getattr(module, "TASKS", ()) or {item.task for item in items if item.source}


def _write(
    cfg: Config, job: Job, rows: list[dict[str, Any]], statistics: list[dict[str, Any]], about: dict[str, Any]
) -> None:
    with (job.output / "statistics.jsonl").open("w", encoding="utf-8") as file:
        for row in statistics:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    settings = cfg.model_dump(mode="json")
    write_json(job.output / "scores.json", {"rows": rows, "settings": settings, "version": __version__, **about})
    chief = {
        f"{r['system']} {r['direction']}": round(r["value"], 1)
        for r in rows
        if r["metric"] == "chrf" and r["task"] == "translate"
    }
    tables = headed.tables(rows)
    job.summary(
        questions=about["items"], **({"chrf": chief} if chief else {}), **({"tables": tables} if tables else {})
    )


class _Progress:
    """Counts answers over all systems and reports them as ticks."""

    def __init__(self, job: Job, total: int):
        self.job, self.total, self.done = job, total, 0

    def add(self, count: int, system: str) -> None:
        self.done += count
        self.job.tick(min(self.done, self.total), self.total, "answers", system=system)
