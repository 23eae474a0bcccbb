"""Find the runs that were named, the evaluation of each, and what their training left behind."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from endonym.compare.words import target_of
from endonym.data import lexicon
from endonym.errors import DataError, EndonymError, MissingError, Problem, UsageError
from endonym.models import weights
from endonym.models.bases import base_of
from endonym.project import Project
from endonym.store import jobs as rows


@dataclass(frozen=True)
class Named:
    """A run as it was named, with the evaluation that speaks for it."""

    job: int
    evaluation: int


@dataclass
class Side:
    """One run with what its training left; what was not recorded is None."""

    job: int
    label: str
    system: str
    """Name of the system of its evaluation: `tuned`, or `base` where no model was trained."""
    folder: Path
    """Output of its evaluation."""
    scores: dict[str, Any]
    about: dict[str, Any] = field(default_factory=dict)
    """`model.json`, completed from the job's summary; empty for a base model."""
    vocabulary: int | None = None
    tokens_per_word: float | None = None
    """Of its tokenizer on the test's texts in the project's language, words cut as in the tokenizer report."""
    size_bytes: int | None = None
    base_bytes: int | None = None
    """Size of the base that an adapter needs besides."""
    curve: list[dict[str, Any]] = field(default_factory=list)
    chats: Path | None = None
    """The chats whose settings made its prompts."""


def find(words: Sequence[str], project: Project, among: Collection[int] | None = None) -> list[Named]:
    """The runs named, each once, by their newest evaluation (of those `among`, where given).

    Raises UsageError for what is no run, MissingError for one that was never evaluated.
    """
    if not words:
        return []
    kinds = {int(row["job"]): str(row["kind"]) for row in rows.artifacts(project.db)}
    found: dict[int, Named] = {}
    for word in words:
        job = project.job(word)
        kind = kinds.get(job, "")
        if kind not in ("model", "scores"):
            made = [str(j) for j, k in kinds.items() if k in ("model", "scores")]
            hint = f"Training runs and evaluations: {', '.join(made) or 'none yet'}."
            raise UsageError(f"job {job} is neither a finished training run nor a finished evaluation", hint)
        evaluation = job if kind == "scores" else _newest_evaluation(job, kinds, project, among)
        found.setdefault(evaluation, Named(job, evaluation))
    return list(found.values())


def read_scores(folder: Path) -> dict[str, Any]:
    """`scores.json` of an evaluation's output. Raises DataError where it does not say what a comparison needs."""
    file = folder / "scores.json"
    scores = _json(file)
    lacking = [name for name in ("data_hash", "rows") if not scores.get(name)]
    if lacking:
        # An evaluation with the settings of a finished one is not run again.
        repair = "evaluate again, with another --seed than that evaluation's: endonym evaluate"
        what = "is missing or empty: an old, damaged or unfinished evaluation, with which nothing can be compared"
        raise DataError(Problem(str(file), 0, lacking[0], what, repair))
    return scores


def check_same_items(named: Sequence[Named], project: Project) -> None:
    """Raises UsageError when the runs were tested on different items: their scores could not be compared."""
    hashes = [str(read_scores(project.output(run.evaluation))["data_hash"]) for run in named]
    for run, own in zip(named, hashes, strict=True):
        if own != hashes[0]:
            first = rows.get(project.db, named[0].evaluation)
            again = {"dataset": first.inputs.get("dataset"), "chats": first.inputs.get("chats")}
            model = rows.get(project.db, run.evaluation).inputs.get("model")
            given = ",".join(f"{k}={v}" for k, v in {"model": model, **again}.items() if v)
            raise UsageError(
                f"run {run.job} was tested on other items (evaluation {run.evaluation}, data_hash {own[:12]}) than run {named[0].job} "
                f"(evaluation {named[0].evaluation}, data_hash {hashes[0][:12]})",
                f"Test it on the same, with the same --max-items, --tasks and --seed: endonym evaluate --input {given}",
            )


def sides(named: Sequence[Named], first: str, project: Project) -> list[Side]:
    """What is known of each run."""
    return [_side(run, first, project) for run in named]


def _side(run: Named, first: str, project: Project) -> Side:
    folder = project.output(run.evaluation)
    scores = read_scores(folder)
    systems = [row["system"] for row in scores["rows"]]
    system = first if first in systems else "base" if "base" in systems else systems[0]
    ancestors = project.ancestry(folder)
    side = Side(run.job, "", system, folder, scores, chats=ancestors.get("chats"))
    model = ancestors.get("model") if system == "tuned" else None
    if model is not None:
        record = _json(model.parent / "artifact.json")
        side.about = {**record.get("summary", {}), **_json(model / "model.json")}
        side.curve = list(_lines(model / "curve.jsonl"))
        own = model / "adapter" if (model / "adapter").is_dir() else model / "weights"
        side.size_bytes = _size(own)
        base = base_of(model)
        if own.name == "adapter" and base.is_dir():
            side.base_bytes = _size(base)
    side.label = f"{run.job} {side.about.get('recipe', system)}"
    _measure_tokenizer(side, model, project)
    return side


def _measure_tokenizer(side: Side, model: Path | None, project: Project) -> None:
    """Count the tokens of its tokenizer on the test's texts in the language; left out where the tokenizer is not there."""
    try:
        from tokenizers import Tokenizer

        base = base_of(model) if model is not None else weights.get(project.base)
    except (ImportError, EndonymError):
        return
    if not side.about:
        side.size_bytes = _size(base)
    folder = base if model is None or not (model / "weights").is_dir() else model / "weights"
    if not (folder / "tokenizer.json").is_file():
        return
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    side.vocabulary = tokenizer.get_vocab_size()
    texts = sorted({row["reference"] for row in _lines(side.folder / "outputs.jsonl") if _is_in(row, project.language)})
    num_words = sum(len(lexicon.words(text)) for text in texts)
    if num_words:
        # A tokenizer's file may ask for either, which would be counted.
        tokenizer.no_padding()
        tokenizer.no_truncation()
        encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
        side.tokens_per_word = sum(len(one.ids) for one in encoded) / num_words


def _is_in(row: dict[str, Any], language: str) -> bool:
    return target_of(str(row["direction"])) == language


def _newest_evaluation(model: int, kinds: dict[int, str], project: Project, among: Collection[int] | None) -> int:
    evaluations = [job for job, kind in kinds.items() if kind == "scores" and (among is None or job in among)]
    tested = [job for job in evaluations if rows.get(project.db, job).inputs.get("model") == model]
    if tested:
        return max(tested)
    trained = rows.get(project.db, model).inputs
    # The newest test and prompts are taken anyway; what the model was made with is named where it is older.
    older = {"dataset": ("split", trained.get("split")), "chats": ("chats", trained.get("dataset"))}
    given = {n: j for n, (kind, j) in older.items() if j and j != rows.newest_artifact(project.db, kind)}
    words = ",".join(f"{name}={job}" for name, job in {"model": model, **given}.items())
    raise MissingError(
        f"run {model} has not been evaluated on the sealed test", f"Evaluate it with: endonym evaluate --input {words}"
    )


def _size(folder: Path) -> int:
    """Bytes of the weights and tokenizer in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.is_file():
        with path.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)
