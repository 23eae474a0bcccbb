"""Grade the training rows from easy to hard, by signals that can be read and weighted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from endonym.errors import ConfigError, DataError, Problem, did_you_mean
from endonym.types import Chat

if TYPE_CHECKING:
    from endonym.data.difficulty import Graded
    from endonym.jobs.job import Job
    from endonym.jobs.stage import Resolved
    from endonym.project import Project
    from endonym.store.tokens import Needs

KIND = "scorer"
CHOICE = "many"
DEFAULT = ["length", "word_rarity", "morphology", "compression", "lexical_diversity"]
INPUTS = {"dataset": "chats"}
PRODUCES = "difficulty"
SHOWN = 3
"""Examples of each stage in the summary."""


class Config(BaseModel):
    """Settings of grading; each scorer has its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: dict[str, float] = Field({}, description="Weight of each scorer by its name; 1 where none is given.")
    bounds: list[float] = Field(
        [20, 40, 60, 80], description="Difficulty from which elementary, intermediate, advanced and expert rows begin."
    )

    @field_validator("weights")
    @classmethod
    def _counting(cls, weights: dict[str, float]) -> dict[str, float]:
        wrong = [name for name, weight in weights.items() if not (weight >= 0 and math.isfinite(weight))]
        if wrong:
            raise ValueError(f"the weight of {wrong[0]} must be a number from 0 up")
        return weights

    @field_validator("bounds")
    @classmethod
    def _ascending(cls, bounds: list[float]) -> list[float]:
        if len(bounds) != 4 or sorted(bounds) != bounds or not all(0 <= bound <= 100 for bound in bounds):
            raise ValueError("four ascending numbers between 0 and 100")
        return bounds


def needs(resolved: Resolved, inputs: Any, project: Project) -> Needs:
    """What this takes of the machine: the base, where a scorer reads with it."""
    from endonym.models.needs import by_plugins

    return by_plugins(project.base, resolved.plugins)


def run(cfg: Config, job: Job) -> None:
    """Write `difficulty.jsonl` and `difficulty.json` for the chats of `train`; no other split is opened.

    Each scorer measures all rows in its own unit; ranks from 0 to 100 make them comparable, so that their weighted mean means
    something, and the rank of that mean is the difficulty. A row of which a scorer cannot tell stands in the middle.
    """
    from endonym.data import difficulty
    from endonym.data.dataset import Dataset

    strange = [name for name in cfg.weights if name not in job.plugins]
    if strange:
        raise ConfigError(
            f"--weights names '{strange[0]}', which is not among the scorers used",
            did_you_mean(strange[0], job.plugins),
        )
    weights = {name: cfg.weights.get(name, 1.0) for name in job.plugins}
    if not any(weights.values()):
        raise ConfigError("all scorers have weight 0", "Give at least one a weight: --weights length=1")
    data = Dataset.of(job, "dataset")
    chats = [chat for chat in data.records("train") if isinstance(chat, Chat)]
    if not chats:
        repair = "endonym compose makes chats of the records; its log says why none were left for training"
        raise DataError(Problem(str(data.folder), 0, "split", "there is no training chat to grade", repair))
    measured: dict[str, list[float]] = {}
    for number, (name, (module, settings)) in enumerate(job.plugins.items()):
        measured[name] = list(module.score(chats, settings, job))
        job.tick(number + 1, len(job.plugins), "scorers")
        if job.cancelled():
            return
    rows = grade(chats, measured, weights, cfg.bounds)
    about = {"dataset": data.hash, "bounds": cfg.bounds, **describe(rows, measured, weights)}
    difficulty.write(job.output, rows, about)
    for stage in about["stages"]:
        example = "; ".join(text.replace("\n", " / ") for text in stage["examples"][:1])
        job.log(f"{stage['name']}: {stage['rows']} rows, median {stage['words']:g} words; {example}".rstrip("; "))
    job.summary(**{stage["name"]: stage["rows"] for stage in about["stages"]})


def grade(
    chats: Sequence[Chat],
    measured: Mapping[str, Sequence[float]],
    weights: Mapping[str, float],
    bounds: Sequence[float],
) -> list[Graded]:
    """The rows in their own order, each with its parts, difficulty and stage."""
    from endonym.data.difficulty import Graded, stage_of
    from endonym.data.statistics import ranks
    from endonym.score.texts import whole

    parts = {name: ranks(values) for name, values in measured.items()}
    whole_weight = sum(weights.values())
    means = [sum(weights[name] * parts[name][i] for name in parts) / whole_weight for i in range(len(chats))]
    return [
        Graded(
            chat.id,
            value,
            stage_of(value, bounds),
            {name: round(parts[name][i], 2) for name in parts},
            {name: _rounded(measured[name][i]) for name in parts},
            chat.task,
            whole(chat),
        )
        for i, (chat, value) in enumerate(zip(chats, (round(rank, 3) for rank in ranks(means))))
    ]


def describe(
    rows: Sequence[Graded], measured: Mapping[str, Sequence[float]], weights: Mapping[str, float]
) -> dict[str, Any]:
    """Stages with examples, and for every scorer its quantiles and how it goes together with difficulty and length.

    The correlations are there because length hides behind most signals of difficulty: one near 1 adds nothing of its own.
    """
    import numpy as np

    from endonym.data.difficulty import STAGES
    from endonym.data.lexicon import words
    from endonym.data.statistics import spearman

    def together(first: Sequence[float], second: Sequence[float]) -> float | None:
        found = spearman(first, second)
        return None if found is None else round(found, 3)

    lengths = [float(len(words(row.text))) for row in rows]
    stages = []
    for name in STAGES:
        own = sorted((row for row in rows if row.stage == name), key=lambda row: row.difficulty)
        shown = np.linspace(0, len(own) - 1, min(SHOWN, len(own))).round().astype(int)
        stages.append(
            {
                "name": name,
                "rows": len(own),
                "from": own[0].difficulty if own else None,
                "to": own[-1].difficulty if own else None,
                "words": float(np.median([len(words(row.text)) for row in own])) if own else 0.0,
                "examples": [own[i].text for i in shown],
            }
        )
    difficulty = [row.difficulty for row in rows]
    scorers = {
        name: {
            "weight": weights[name],
            "unknown": sum(not math.isfinite(value) for value in values),
            "quantiles": _quantiles(values),
            "correlation_with_difficulty": together(values, difficulty),
            "correlation_with_length": together(values, lengths),
        }
        for name, values in measured.items()
    }
    return {"rows": len(rows), "stages": stages, "scorers": scorers}


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    """Five quantiles of the values that are numbers."""
    import numpy as np

    known = [value for value in values if math.isfinite(value)]
    shares = (0, 25, 50, 75, 100)
    return dict(zip(map(str, shares), np.percentile(known, shares).round(4).tolist())) if known else {}
