"""Let a judge model mark the answers by a fixed rubric, over an OpenAI-compatible endpoint that you name; asked several times, checked against people.

Nothing is sent unless `url` (or ENDONYM_JUDGE_URL) names the endpoint; the key is read from the environment alone. Every answer is
judged `rounds` times at temperature 0, the criteria in another order each time. A mark is the mean of its rounds; where they differ
by more than `most_apart` it is None, as it is where the judge says that it has no evidence. With `ratings`, a file of ten answers or more that
people have marked, the judge marks those first: where its ranks do not follow theirs (Spearman), or it marks too few, it is switched off
and says why. So it is when no reply is of the form.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.config import read_toml
from endonym.data.judges import named_url
from endonym.errors import UsageError
from endonym.grade import judging
from endonym.grade.marks import Answered, Graded, Grading, Mark

RUBRIC = "judge.toml"
READS = ("ratings",)


class Config(BaseModel):
    """Settings of the judge."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        default_factory=named_url,
        description="Address of the endpoint, such as http://localhost:8080/v1; empty asks nobody. ENDONYM_JUDGE_URL stands for it.",
    )
    model: str = Field("", description="Name of the judge model at that endpoint.")
    key_variable: str = Field(
        "ENDONYM_JUDGE_KEY", description="Environment variable that holds the key, if it needs one."
    )
    rounds: int = Field(2, ge=2, le=8, description="How often each answer is judged.")
    most_apart: float = Field(30.0, ge=0, le=100, description="Rounds that differ by more give no mark.")
    timeout: int = Field(60, ge=1, description="Seconds to wait for one judgement.")
    ratings: str = Field(
        "",
        description="File of people's marks (JSONL, TOML or CSV: question, answer, rating, criterion) to check against.",
    )
    least_correlation: float = Field(
        0.5, ge=-1, le=1, description="Rank correlation with people below which the judge is off."
    )


def grade(answers: Sequence[Answered], cfg: Config, grading: Grading) -> Graded:
    """Mark all four criteria, or none with the reason why the judge is off."""
    if not cfg.url:
        return _off(answers, "no endpoint was named: set --judge.url")
    rubric = read_toml(judging.beside(RUBRIC))
    judge = judging.Judge(cfg.url, cfg.model, os.environ.get(cfg.key_variable, ""), cfg.timeout, rubric)
    about: dict[str, Any] = {"url": cfg.url, "model": cfg.model, "rounds": cfg.rounds, "rubric": judge.rubric_hash}
    try:
        if cfg.ratings:
            checked = judging.against_people(judge, grading.project / Path(cfg.ratings).expanduser(), cfg.rounds)
            about["people"] = checked
            if reason := _unfit(checked, cfg):
                return _off(answers, reason, about)
        rounds = [[judge.ask(a.question, a.text, turn) for turn in range(cfg.rounds)] for a in answers]
    except judging.JudgeError as error:
        return _off(answers, str(error), about)
    marks = [{name: _mark([r.get(name) for r in found], cfg) for name in rubric["criteria"]} for found in rounds]
    about["replies"] = {"asked": judge.asked, "in_form": judge.in_form}
    if not judge.in_form:
        return _off(answers, f"none of its {judge.asked} replies was of the form that was asked for", about)
    about["agreement"] = judging.agreement(rounds, list(rubric["criteria"]))
    about["checked_against_people"] = bool(cfg.ratings) and about["people"]["correlation"] is not None
    return Graded(marks, {"used": True, **about})


def _unfit(checked: dict[str, Any], cfg: Config) -> str:
    """Why a judge that was held against people is switched off; `""` where it follows them, or they are too few to tell."""
    if checked["ratings"] < judging.LEAST_RATINGS:
        return ""
    if checked["correlation"] is None:
        return f"it cannot be held against people: it marked {checked['n']} of {checked['ratings']} rated answers, or all alike"
    if checked["correlation"] >= cfg.least_correlation:
        return ""
    return (
        f"its marks do not follow people's: rank correlation {checked['correlation']:.2f} over {checked['n']} ratings, "
        f"wanted {cfg.least_correlation:.2f}"
    )


def _mark(found: list[float | None], cfg: Config) -> Mark:
    values = [value for value in found if value is not None]
    if len(values) < len(found):
        return Mark(None, why="the judge gave no mark: it has no evidence, or did not keep to the form")
    if max(values) - min(values) > cfg.most_apart:
        return Mark(None, why=f"the judge does not agree with itself: {', '.join(f'{v:g}' for v in values)}")
    return Mark(sum(values) / len(values), "judge")


def _off(answers: Sequence[Answered], reason: str, about: dict[str, Any] | None = None) -> Graded:
    return Graded([{} for _ in answers], {**(about or {}), "used": False, "reason": reason})


def check(cfg: Config) -> None:
    """Refuse an address that is none before any model is asked."""
    if cfg.url and not cfg.url.startswith(("http://", "https://")):
        raise UsageError(f"--judge.url: '{cfg.url}' is no web address", "Write it like http://localhost:8080/v1")
