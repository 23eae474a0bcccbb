"""Make more training pairs of those there are, measure which kinds of them help, and keep these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.augmented import cap
from endonym.data.dataset import Dataset, DatasetWriter
from endonym.errors import DataError, LeakError, Problem
from endonym.types import Drop, Pair, Record

if TYPE_CHECKING:
    from endonym.augment.material import Context
    from endonym.jobs.job import Job
    from endonym.jobs.stage import Resolved
    from endonym.project import Project
    from endonym.store.tokens import Needs

KIND = "augmenter"
CHOICE = "many"
DEFAULT = ["substitute", "recombine", "inflect", "noise"]
INPUTS = {"dataset": "split"}
PRODUCES = "augmented"


class Config(BaseModel):
    """Settings of augmentation; each augmenter has its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float = Field(0.3, gt=0, lt=1, description="Share of the training pairs that are made, at most.")
    keep: Literal["helping", "all"] = Field(
        "helping", description="Keep the records of augmenters that helped in the trial, or all."
    )
    trial_steps: int = Field(40, ge=0, description="Steps of each trial training; 0 measures nothing and keeps all.")
    trial_pairs: int = Field(
        400,
        ge=0,
        description="Training pairs each trial learns from, beside made ones; 0 is all. With back_translate "
        "the trial goes on from the project's model, which knows all of them already.",
    )
    trial_valid: int = Field(60, ge=2, description="Validation pairs that are measured, in both directions.")
    trial_batch_tokens: int = Field(2048, ge=64, description="Tokens of a step of a trial.")
    trial_learning_rate: float = Field(1e-3, gt=0, description="Highest learning rate of a trial.")
    trial_runs: int = Field(
        3,
        ge=1,
        description="Trainings of each kind, with seeds of their own; all must be better, and the first that is not ends it. One "
        "alone tells little.",
    )


def needs(resolved: Resolved, inputs: Mapping[str, Path | list[Path]], project: Project) -> Needs:
    """What this takes of the machine: one model with adapters in training, or where there is no trial what an augmenter computes with."""
    from endonym.models.needs import TRIAL_RANK, TRIAL_TOKENS, by_plugins, to_train

    if not resolved.config.trial_steps:
        return by_plugins(project.base, resolved.plugins)
    return replace(to_train(project.base, TRIAL_TOKENS, TRIAL_RANK, 0), disk_bytes=0)


def run(cfg: Config, job: Job) -> None:
    """Write the made records of `train`, `report.json` and `report.txt`."""
    from endonym.augment.report import helping, judge, table, unread
    from endonym.augment.sift import Sieve, grown_by
    from endonym.augment.trial import Compared, compare
    from endonym.store.files import write_json

    dataset = Dataset.of(job, "dataset")
    train = list(dataset.records("train"))
    pairs = _pairs(train, job)
    if not pairs:
        between = f"{job.project.language} and {job.project.pivot}"
        what, repair = f"the training data has no pair of {between}", "check language and pivot in endonym.toml"
        raise DataError(Problem(str(dataset.folder), 0, "", what, repair))
    context = _context(job, dataset, cap(cfg.share, len(pairs)))
    sieve = Sieve(dataset.folder, train)
    compared = compare(cfg, job, dataset, train, pairs, context) if cfg.trial_steps else Compared({}, {})
    if compared is None:
        return
    rows = judge(compared.results, {name: compared.made.get(name) for name in job.plugins})
    used = helping(rows) if cfg.keep == "helping" else list(job.plugins)
    grown: dict[str, list[Record]] = {}
    dropped: list[Drop] = []
    for name in used:
        grown[name], refused = grown_by(name, job, train, context, sieve)
        dropped += refused
        if job.cancelled():
            return
    kept = _take_turns(list(grown.values()), context.most)
    _write(job, cfg, dataset, grown, kept, dropped)
    signature = _signature(cfg, job, context.model)
    report = {
        "augmenters": rows, "used": used, "made": {name: len(found) for name, found in grown.items()}, "kept": len(kept),
        "pairs": len(pairs), "share": cfg.share, "settings": cfg.model_dump(mode="json"), "signature": signature,
    }  # fmt: skip
    write_json(job.output / "report.json", report)
    said = [*(row["words"] for row in rows), *unread(compared.results), _conclusion(used, len(kept), len(pairs))]
    (job.output / "report.txt").write_text("\n".join([*said, "", signature, ""]), encoding="utf-8")
    for sentence in said:
        job.log(sentence)
    job.summary(real=len(pairs), made=sum(map(len, grown.values())), kept=len(kept), tables=[table(rows)])


def _pairs(records: Sequence[Record], job: Job) -> list[Pair]:
    languages = job.project.language, job.project.pivot
    return [record for record in records if isinstance(record, Pair) and record.between(*languages)]


def _context(job: Job, dataset: Dataset, most: int) -> Context:
    """What augmenters are handed. Raises LeakError for a model that was trained on another split, which may know what is held out."""
    from endonym.augment.material import Context

    model = job.inputs.get("model")
    chats = None
    if isinstance(model, Path):
        made_from = job.project.ancestry(model)
        chats = made_from.get("chats")
        if chats is None or "split" not in made_from or Dataset(made_from["split"]).hash != dataset.hash:
            raise LeakError(
                f"the model in {model.parent.name} was not trained on this split, and may have seen what is held out now",
                "Train one on it: endonym compose, then endonym train; or leave out back_translate.",
            )
    return Context(
        job.project.path, job.project.language, job.project.pivot, job.project.seed, most,
        model if isinstance(model, Path) else None, chats, job.log,
        lambda done, total: job.tick(done, total, "texts"), job.cancelled,
    )  # fmt: skip


def _take_turns(lists: Sequence[Sequence[Record]], most: int) -> list[Record]:
    """One record of each list after the other until there are `most`, none twice."""
    kept: dict[str, Record] = {}
    for depth in range(max(map(len, lists), default=0)):
        for one in lists:
            if depth < len(one) and len(kept) < most:
                kept.setdefault(one[depth].id, one[depth])
    return list(kept.values())


def _write(
    job: Job,
    cfg: Config,
    dataset: Dataset,
    grown: Mapping[str, Sequence[Record]],
    kept: Sequence[Record],
    dropped: Sequence[Drop],
) -> None:
    """Every made record is kept or in the ledger."""
    chosen = {record.id for record in kept}
    with DatasetWriter(job.output, parents=[dataset.hash], share=cfg.share, augmenters=list(grown)) as out:
        out.keep_empty("train")
        for drop in dropped:
            out.read(drop.record)
            out.drop(drop)
        for records in grown.values():
            for record in records:
                out.read(record)
                if record.id in chosen:
                    out.keep(record, "train")
                else:
                    out.drop(Drop(record, "augment.share", f"more would be over the share of {cfg.share:.0%}"))


def _conclusion(used: Sequence[str], kept: int, real: int) -> str:
    if not kept:
        return "No made record is kept: train on the real ones alone."
    return (
        f"{kept:,} made pairs of {', '.join(used)} stand beside {real:,} real ones, {kept / (kept + real):.0%} of all."
    )


def _signature(cfg: Config, job: Job, model: Path | None) -> str:
    begun = f"base:{job.project.base}" + (f"|model:{model.parent.name}" if model is not None else "")
    return (
        f"augment|v:2|bits/byte of answers|split:valid|pairs:{cfg.trial_valid}|trained:{cfg.trial_pairs or 'all'}|steps:{cfg.trial_steps}"
        f"|batch:{cfg.trial_batch_tokens}|lr:{cfg.trial_learning_rate:g}|runs:{cfg.trial_runs}|{begun}"
        f"|seed:{job.project.seed}|bs:paired|holm"
    )
