"""Test which differences between systems are real, and write the report a community can read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.compare import beside, facts, page, runs, samples
from endonym.compare.significance import Comparison, compare_all, higher_is_better, per_item, read_statistics
from endonym.compare.words import EARLIER
from endonym.data import languages
from endonym.jobs.job import Job
from endonym.models import weights
from endonym.project import Project
from endonym.store.files import write_json

CHOICE = "none"
INPUTS = {"scores": "scores*", "tokenizer": "tokenizer?", "export": "export?", "diagnosis": "diagnosis?"}
PRODUCES = "report"
ARGUMENT = "runs"
"""The setting that plain words stand for: `endonym compare 7 12`."""


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    runs: list[str] = Field(
        [],
        description="Runs to put side by side: job numbers or folder names of training runs or evaluations; empty for the newest.",
    )
    earlier: int = Field(
        2, ge=0, description="How many earlier trained models, tested on the same items, to compare with."
    )
    first: str = Field("tuned", description="The system all others are compared with.")
    alpha: float = Field(
        0.05, gt=0, lt=1, description="A difference counts when chance would give it less often than this."
    )
    resamples: int = Field(2000, ge=100, description="Bootstrap resamples of a comparison.")
    seed: int = Field(12345, description="Seed of the bootstrap and of the samples drawn by lot.")
    examples: int = Field(3, ge=1, le=20, description="Examples of each sort and direction on the page.")
    language: str = Field("en", description="Language of the page's own words; needs report.<language>.toml.")


def choose_inputs(cfg: Config, project: Project) -> dict[str, Any]:
    """The evaluations of the runs that are named; raises when one has none, or when they were tested on different items."""
    named = runs.find(cfg.runs, project)
    runs.check_same_items(named, project)
    return {"scores": [run.evaluation for run in named]} if named else {}


def run(cfg: Config, job: Job) -> None:
    """Write `comparisons.json` and `report.html`."""
    given = job.inputs["scores"]
    folders = sorted(given if isinstance(given, list) else [given], key=run_number)
    newest = folders[-1]
    scores = runs.read_scores(newest)
    rows, statistics = list(scores["rows"]), read_statistics(newest)
    if not cfg.runs:
        _add_earlier(folders[:-1], scores["data_hash"], cfg, rows, statistics)
    systems = list(dict.fromkeys(row["system"] for row in rows))
    first = cfg.first if cfg.first in systems else systems[0]
    higher = higher_is_better(rows)
    comparisons = compare_all(statistics, higher, first, cfg.alpha, cfg.resamples, cfg.seed, job.project.path)
    ancestors = job.project.ancestry(newest)
    # `ancestry` is by kind and names the nearest: the evaluation itself is among them.
    gathered = facts.gather(
        ancestors, job.project.sources, _folder(job, "tokenizer"), _folder(job, "export"), job.project.runs,
        _folder(job, "diagnosis"),
    )  # fmt: skip
    chosen = choose_samples(cfg, job, newest, statistics, first)
    texts = page.strings(cfg.language, job.project.path)
    together = side_by_side(cfg, job, texts)
    html = page.render(
        about=job.project.about | {"name": job.project.name}, texts=texts, rows=rows,
        comparisons=comparisons, first=first, chosen=chosen, facts=gathered, scores=scores,
        name=namer(cfg), own_name=own_name(job.project.language),
        base_licence=str(weights.catalog().get(job.project.base, {}).get("licence", "")),
        beside=together,
    )  # fmt: skip
    (job.output / "report.html").write_text(html, encoding="utf-8")
    about = {"first": first, "data_hash": scores["data_hash"], "models": scores["models"], "alpha": cfg.alpha}
    if together is not None:
        about["runs"] = together.data
        job.summary(tables=together.tables(), best=together.data["best"] or "no run")
    write_json(job.output / "comparisons.json", {"comparisons": [c.as_json() for c in comparisons], **about})
    for line in [*said(comparisons), *(together.reasons if together else ())]:
        job.log(line)
    job.summary(report=str((job.output / "report.html").relative_to(job.project.path)), comparisons=len(comparisons))


def side_by_side(cfg: Config, job: Job, texts: dict[str, Any]) -> beside.Beside | None:
    """The named runs compared; None when fewer than two are named."""
    given = job.inputs["scores"]
    tested = {run_number(folder) for folder in (given if isinstance(given, list) else [given])}
    named = runs.find(cfg.runs, job.project, tested)
    if len(named) < 2:
        return None
    sides = runs.sides(named, cfg.first, job.project)
    return beside.build(sides, texts, namer(cfg), cfg.alpha, cfg.resamples, cfg.seed, job.project.path)


def namer(cfg: Config) -> Callable[[str], str]:
    """Gives a language its name in the language of the page."""
    return lambda code: languages.name(code, languages.language(cfg.language).code)


def run_number(folder: Path) -> int:
    """Job number of an artifact folder."""
    return int(json.loads((folder.parent / "artifact.json").read_text(encoding="utf-8"))["job"])


def choose_samples(
    cfg: Config, job: Job, folder: Path, statistics: list[dict[str, Any]], first: str
) -> dict[str, dict[str, list[samples.Sample]]]:
    """Samples of each direction of translation, by sentence-level chrF."""
    outputs = samples.read_outputs(folder, "translate")
    found = {}
    for row in statistics:
        if (row["task"], row["metric"], row["system"]) == ("translate", "chrf", first):
            single = per_item(row, job.project.path)
            memory = outputs.get("memory", {})
            found[row["direction"]] = samples.choose(single, outputs.get(first, {}), memory, cfg.examples, cfg.seed)
    return found


def said(comparisons: list[Comparison]) -> list[str]:
    """The comparisons as lines for the log and the terminal."""
    return [
        f"{c.task} {c.direction} {c.name}: {c.first} against {c.second}: {c.difference:+.3g} "
        f"({c.low:+.3g} to {c.high:+.3g}), p={c.p_value:.3f}, {c.verdict}"
        for c in comparisons
    ]


def own_name(code: str) -> str:
    """What a people calls its language; its English name where that is not known."""
    return languages.name(code, code)


def _add_earlier(
    folders: list[Path], data_hash: str, cfg: Config, rows: list[dict[str, Any]], statistics: list[dict[str, Any]]
) -> None:
    """Add the trained models of earlier evaluations of the same items as systems of their own."""
    fitting = []
    for folder in folders:
        scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
        if scores.get("data_hash") == data_hash:
            fitting.append((folder, scores))
    for folder, scores in fitting[-cfg.earlier :] if cfg.earlier else []:
        system = {"system": f"{EARLIER}, run {run_number(folder)}"}
        rows += [row | system for row in scores["rows"] if row["system"] == cfg.first]
        statistics += [row | system for row in read_statistics(folder) if row["system"] == cfg.first]


def _folder(job: Job, name: str) -> Path | None:
    folder = job.inputs.get(name)
    return folder if isinstance(folder, Path) else None
