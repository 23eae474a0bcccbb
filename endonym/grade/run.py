"""Ask a model a set of questions, and grade its answers by references, facts and, where you name one, a judge."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym import __version__
from endonym.data import grades, languages
from endonym.errors import DataError, Problem
from endonym.grade import asking, questions
from endonym.grade.complexity import level
from endonym.grade.marks import Answered, Graded, Grading, Mark, Question
from endonym.store.files import file_hash, write_json
from endonym.store.tokens import Needs

if TYPE_CHECKING:
    from endonym.jobs.job import Job
    from endonym.jobs.stage import Resolved
    from endonym.models.load import Loaded
    from endonym.project import Project

KIND = "grader"
CHOICE = "many"
DEFAULT = ["reference", "coherence"]
INPUTS = {"chats": "chats?", "model": "model?"}
PRODUCES = "grades"
ARGUMENT = "files"
"""The setting that plain words stand for: `endonym grade questions.jsonl`."""


class Config(BaseModel):
    """Settings of asking; each grader has its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: Literal["tuned", "base"] = Field(
        "tuned", description="Which model is asked: the newest trained one, or the base."
    )
    sets: list[Literal["general", "language", "own"]] = Field(
        ["general", "language", "own"],
        description="Question sets: general ones that come with Endonym, held-out rows in the project's languages, own files.",
    )
    files: list[str] = Field(
        [],
        description="Files of questions, JSONL, TOML or CSV: question, and if you have them reference, keywords, task, id.",
    )
    language_questions: int = Field(8, ge=0, description="Questions in the project's languages, from validation rows.")
    max_new_tokens: int = Field(128, ge=1, description="Longest answer, in tokens.")
    temperature: float = Field(
        0.0, ge=0, le=2, description="How varied answers are; 0 always takes the likeliest token."
    )
    top_p: float = Field(1.0, gt=0, le=1, description="Share of probability that sampled tokens come from.")
    seed: int = Field(20, description="Seed of the questions drawn and of sampling.")


def needs(resolved: Resolved, inputs: Any, project: Project) -> Needs:
    """What this takes of the machine: one model that answers."""
    from endonym.models.needs import to_answer

    return to_answer(project.base)


def choose_inputs(cfg: Config, project: Project) -> dict[str, Any]:
    """The base is asked without any trained model, and general questions need no rows."""
    nothing: dict[str, Any] = {"model": []} if cfg.system == "base" else {}
    return nothing | ({} if "language" in cfg.sets else {"chats": []})


def depends(cfg: Config, project: Project) -> Any:
    """Hashes of the question files: other questions are another job."""
    files = [project.path / Path(name).expanduser() for name in cfg.files]
    return [file_hash(path) if path.is_file() else None for path in files]


def run(cfg: Config, job: Job) -> None:
    """Write `answers.jsonl` as answers come, then `grades.json`."""
    from endonym.models.generate import Sampling

    for module, settings in job.plugins.values():
        if hasattr(module, "check"):
            module.check(settings)
    asked = collect(cfg, job)
    loaded, model_hash = _load(cfg, job)
    job.log(f"asking {cfg.system} {len(asked)} questions")
    sampling = Sampling(cfg.max_new_tokens, cfg.temperature, cfg.top_p, cfg.seed)
    total = len(asked)
    answers = asking.ask_all(
        loaded,
        asked,
        sampling,
        job.output / "answers.jsonl",
        lambda done: job.tick(done, total, "answers"),
        job.cancelled,
    )
    if job.cancelled():
        return
    graded = _graded(answers, job)
    rows = [_row(answer, [g.marks[n] for g in graded.values()]) for n, answer in enumerate(answers)]
    found = grades.summary(rows)
    about = {
        "system": cfg.system, "model_hash": model_hash, "renderer": loaded.renderer.hash,
        "questions_hash": asking.questions_hash(asked), "settings": cfg.model_dump(mode="json"), "version": __version__,
        "graders": {name: g.about for name, g in graded.items()},
    }  # fmt: skip
    write_json(job.output / "grades.json", {**about, "summary": found, "rows": rows})
    for name, g in graded.items():
        if g.about.get("used") is False:
            job.event("warning", text=f"the grader {name} gave no marks: {g.about['reason']}")
        elif g.about.get("checked_against_people") is False:
            unsure = f"the marks of {name} were not held against people's, so nobody knows what they are worth"
            job.event("warning", text=f"{unsure}: give ten rated answers or more (--{name}.ratings)")
    job.summary(system=cfg.system, **in_short(found), tables=[_table(found)])


def collect(cfg: Config, job: Job) -> list[Question]:
    """All questions of the chosen sets; raises DataError when there is none."""
    from endonym.data.dataset import Dataset

    found: list[Question] = questions.general() if "general" in cfg.sets else []
    if "own" in cfg.sets:
        found += [q for name in cfg.files for q in questions.of_file(job.project.path / Path(name).expanduser())]
    if "language" in cfg.sets and isinstance(job.inputs.get("chats"), Path):
        chats = Dataset.of(job, "chats")
        found += questions.of_language(chats, job.project, cfg.language_questions, cfg.seed)
    if not found:
        what, repair = "the chosen sets hold no question", "name a file: endonym grade questions.jsonl"
        raise DataError(Problem("grade", 0, "sets", what, repair))
    return questions.named_apart(found)


def _load(cfg: Config, job: Job) -> tuple[Loaded, str]:
    """The model to ask and what tells it from others; raises MissingError when nothing was trained."""
    from endonym.errors import MissingError
    from endonym.models.load import load_artifact, load_model
    from endonym.models.weights import weights_hash

    if cfg.system == "base":
        loaded = load_model(job.project.base)
        return loaded, weights_hash(loaded.base)
    folder = job.inputs.get("model")
    if not isinstance(folder, Path):
        raise MissingError(
            "there is no trained model to ask", "Train one: endonym train, or ask the base: --system base"
        )
    about = json.loads((folder.parent / "artifact.json").read_text(encoding="utf-8"))
    return load_artifact(folder), str(about["hash"])


def _graded(answers: Sequence[Answered], job: Job) -> dict[str, Graded]:
    codes = {job.project.language, job.project.pivot, *(a.question.language for a in answers)}
    grading = Grading({code: languages.language(code).scripts for code in codes if code}, job.project.path)
    return {name: module.grade(answers, settings, grading) for name, (module, settings) in job.plugins.items()}


def _row(answer: Answered, by_grader: Sequence[dict[str, Mark]]) -> dict[str, Any]:
    """One graded question. The first grader with evidence marks a criterion; where none has any, the first says why."""
    marks = {}
    for name in grades.CRITERIA:
        given = [mark for graded in by_grader if (mark := graded.get(name)) is not None]
        best = next(
            (m for m in given if m.value is not None), given[0] if given else Mark(None, why="no grader marks it")
        )
        value = None if best.value is None else round(best.value, 2)
        marks[name] = {"value": value, "method": best.method, "why": best.why}
    asked = answer.question
    hard = level(asked.question, asked.task)
    return {
        "id": asked.id, "set": asked.set, "question": asked.question, "references": list(asked.references),
        "keywords": list(asked.keywords), "answer": answer.text, "complexity": hard.name, "factor": hard.factor,
        "complexity_why": hard.why, "marks": marks, "seconds": answer.seconds, "tokens": answer.tokens,
        "first_token_seconds": answer.first_token_seconds, "ended": answer.ended,
    }  # fmt: skip


def in_short(found: dict[str, Any]) -> dict[str, Any]:
    """The headline numbers of a summary."""
    means = {name: row["value"] for name, row in found["criteria"].items()}
    return {"questions": found["questions"], **means, "total": found["total"]["value"], **found["speed"]}


def _table(found: dict[str, Any]) -> dict[str, Any]:
    def row(name: str, value: dict[str, Any], methods: str) -> list[str]:
        shown = (
            "not marked"
            if value["value"] is None
            else f"{value['value']:.1f} ({value['low']:.1f} to {value['high']:.1f})"
        )
        return [name, shown, str(value["n"]), methods]

    rows = [
        row(name, value, ", ".join(f"{method} {n}" for method, n in value["methods"].items()))
        for name, value in found["criteria"].items()
    ]
    weights = ", ".join(f"{n} {weight}" for weight, n in found["total"]["weights"].items())
    rows.append(row("total, weighted", found["total"], f"questions: {weights}"))
    return {"title": "Grades, 0 to 100, with 95 % intervals", "header": ["", "mean", "n", "by"], "rows": rows}
