"""Tell whether a trained model learned, learned by heart, or had too little to learn from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym import __version__
from endonym.store.files import write_json
from endonym.store.tokens import Needs

if TYPE_CHECKING:
    from endonym.diagnose.finding import Finding, Measure
    from endonym.diagnose.subject import Subject
    from endonym.jobs.job import Job
    from endonym.jobs.stage import Resolved
    from endonym.project import Project

KIND = "probe"
CHOICE = "many"
DEFAULT = ["gap", "extraction", "canaries", "verbatim", "repetition", "neighbours", "learning_curve"]
INPUTS = {"model": "model"}
PRODUCES = "diagnosis"
ARGUMENT = "run"
"""The setting that plain words stand for: `endonym diagnose 7`."""


class Config(BaseModel):
    """Settings of a diagnosis; each probe has its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    run: list[str] = Field(
        [], max_length=1, description="Training run, by job number or folder name; the newest where none is named."
    )
    samples: int = Field(32, ge=1, description="Texts that the model writes, to be held against what it learned from.")
    sample_bytes: int = Field(256, ge=16, description="Length of these texts in UTF-8 bytes, about.")
    temperature: float = Field(0.8, gt=0, le=2, description="How varied these texts are.")
    top_p: float = Field(0.95, gt=0, le=1, description="Share of probability that their tokens come from.")
    seed: int = Field(20, description="Seed of what is drawn.")


def choose_inputs(cfg: Config, project: Project) -> dict[str, Any]:
    """The run that is named."""
    return {"model": project.job(cfg.run[0])} if cfg.run else {}


def needs(resolved: Resolved, inputs: Mapping[str, Path | list[Path]], project: Project) -> Needs:
    """What this takes of the machine: one model that answers; nothing where it waits for jobs that train, which take it themselves."""
    from endonym.models.needs import to_answer

    waits = any(getattr(settings, "train", False) for _, settings in resolved.plugins.values())
    return Needs(0) if waits else to_answer(project.base)


def run(cfg: Config, job: Job) -> None:
    """Let every probe look at the model; write `findings/NAME.json` as they come, then `diagnosis.json`."""
    from endonym.diagnose.finding import from_json
    from endonym.diagnose.subject import Stopped, Subject, Wished
    from endonym.diagnose.verdict import decide

    folder = Path(str(job.inputs["model"]))
    wished = Wished(cfg.samples, cfg.sample_bytes, cfg.temperature, cfg.top_p)
    subject = Subject(folder, job, wished, cfg.seed)
    kept = job.output / "findings"
    kept.mkdir(exist_ok=True)
    findings: dict[str, Finding] = {}
    try:
        for name, (module, settings) in job.plugins.items():
            if hasattr(module, "before") and not (kept / f"{name}.json").is_file():
                # Nothing is loaded yet: what a probe wants to have trained may take the memory.
                module.before(subject, settings)
        for number, (name, (module, settings)) in enumerate(job.plugins.items()):
            job.tick(number, len(job.plugins), "probes", probe=name)
            file = kept / f"{name}.json"
            if not file.is_file():
                write_json(file, module.probe(subject, settings).as_json())
            findings[name] = from_json(json.loads(file.read_text(encoding="utf-8")))
            job.log(f"{name}: {findings[name].text}")
    except Stopped:
        return
    job.tick(len(job.plugins), len(job.plugins), "probes")
    found = decide(findings)
    write_json(
        job.output / "diagnosis.json",
        {
            "verdict": found.verdict, "text": found.text, "reasons": found.reasons, "advice": found.advice,
            "model": _model(folder), "data_hash": subject.chats.hash, "version": __version__,
            "settings": cfg.model_dump(mode="json"),
            "findings": {name: finding.as_json() for name, finding in findings.items()},
        },
    )  # fmt: skip
    job.log(found.text)
    job.summary(verdict=found.verdict, text=found.text, tables=[table(findings, subject)])


def table(findings: Mapping[str, Finding], subject: Subject) -> dict[str, Any]:
    """All measures as the terminal lays them out."""
    rows = [
        [name, measure.name, f"{measure.value:.3f}", between(measure), str(measure.num_items)]
        for name, finding in findings.items()
        for measure in finding.measures
    ]
    title = f"Run {subject.folder.parent.name}, with 95 % intervals"
    return {"title": title, "header": ["", "measure", "value", "between", "n"], "rows": rows}


def between(measure: Measure) -> str:
    """The interval of a measure as it is shown."""
    return "" if measure.low is None or measure.high is None else f"{measure.low:.3f} and {measure.high:.3f}"


def _model(folder: Path) -> dict[str, Any]:
    about = json.loads((folder.parent / "artifact.json").read_text(encoding="utf-8"))
    return {"job": about["job"], "hash": about["hash"]}
