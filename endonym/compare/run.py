"""Test which differences between systems are real, and write the report a community can read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.compare import facts, page, samples
from endonym.compare.significance import Comparison, compare_all, higher_is_better, per_item, read_statistics
from endonym.data import languages
from endonym.errors import UsageError
from endonym.jobs.job import Job
from endonym.models import weights
from endonym.store.files import write_json

CHOICE = "none"
INPUTS = {"scores": "scores*", "tokenizer": "tokenizer?", "export": "export?"}
PRODUCES = "report"


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: list[int] = Field(
        [], description="Evaluation runs to compare, by job number; empty for the newest and earlier ones."
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


def run(cfg: Config, job: Job) -> None:
    """Write `comparisons.json` and `report.html`."""
    folders = chosen_runs(cfg, job)
    newest = folders[-1]
    scores = json.loads((newest / "scores.json").read_text(encoding="utf-8"))
    rows, statistics = list(scores["rows"]), read_statistics(newest)
    _add_earlier(folders[:-1], scores["data_hash"], cfg, rows, statistics)
    systems = list(dict.fromkeys(row["system"] for row in rows))
    first = cfg.first if cfg.first in systems else systems[0]
    higher = higher_is_better(rows)
    comparisons = compare_all(statistics, higher, first, cfg.alpha, cfg.resamples, cfg.seed, job.project.path)
    ancestors = job.project.ancestry(newest)
    # `ancestry` is by kind and names the nearest: the evaluation itself is among them.
    gathered = facts.gather(
        ancestors, job.project.sources, _folder(job, "tokenizer"), _folder(job, "export"), job.project.runs
    )
    chosen = choose_samples(cfg, job, newest, statistics, first)
    html = page.render(
        about=job.project.about | {"name": job.project.name}, texts=page.strings(cfg.language, job.project.path), rows=rows,
        comparisons=comparisons, first=first, chosen=chosen, facts=gathered, scores=scores,
        name=lambda code: languages.name(code, languages.language(cfg.language).code), own_name=own_name(job.project.language),
        base_licence=str(weights.catalog().get(job.project.base, {}).get("licence", "")),
    )  # fmt: skip
    (job.output / "report.html").write_text(html, encoding="utf-8")
    about = {"first": first, "data_hash": scores["data_hash"], "models": scores["models"], "alpha": cfg.alpha}
    write_json(job.output / "comparisons.json", {"comparisons": [c.as_json() for c in comparisons], **about})
    for line in said(comparisons):
        job.log(line)
    job.summary(report=str((job.output / "report.html").relative_to(job.project.path)), comparisons=len(comparisons))


def chosen_runs(cfg: Config, job: Job) -> list[Path]:
    """Folders of the evaluations to use, oldest first."""
    given = job.inputs["scores"]
    folders = sorted(given if isinstance(given, list) else [given], key=run_number)
    if not cfg.runs:
        return folders
    numbers = {run_number(folder): folder for folder in folders}
    unknown = [number for number in cfg.runs if number not in numbers]
    if unknown:
        raise UsageError(f"run {unknown[0]} is no finished evaluation", f"Evaluations: {', '.join(map(str, numbers))}.")
    return [numbers[number] for number in sorted(cfg.runs)]


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
        if scores["data_hash"] == data_hash:
            fitting.append((folder, scores))
    for folder, scores in fitting[-cfg.earlier :] if cfg.earlier else []:
        system = {"system": f"earlier model, run {run_number(folder)}"}
        rows += [row | system for row in scores["rows"] if row["system"] == cfg.first]
        statistics += [row | system for row in read_statistics(folder) if row["system"] == cfg.first]


def _folder(job: Job, name: str) -> Path | None:
    folder = job.inputs.get(name)
    return folder if isinstance(folder, Path) else None
