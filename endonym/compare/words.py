"""Say in plain sentences what the numbers allow to say, and nothing more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from endonym.compare.significance import Comparison

SAME = "no significant difference"
CHIEF = {
    "translate": "chrf", "lookup": "exact", "classify": "accuracy", "tag": "span_f1", "answer": "answer_f1", "embed": "recall_at_1",
    "chat": "bits_per_byte", "complete": "bits_per_byte", "define": "bits_per_byte",
}  # fmt: skip
"""The metric a judgement on a task rests on."""
EARLIER = "earlier model"
"""How models of earlier runs are called: they are no simple way."""
HEADS = ("classify", "tag", "answer", "embed")
"""Tasks of models with a head."""
PURPOSES = (("translate",), HEADS, ("lookup", "chat", "complete", "define"))
"""Tasks that models are made for: the page speaks first of the first of these that were tested."""


@dataclass
class Judgement:
    """What can be said of one direction."""

    direction: str
    better: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    worse: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sentence:
    """One statement and its tone: `good`, `bad` or `plain`."""

    text: str
    tone: str


def judge(comparisons: Sequence[Comparison], task: str, metric: str, first: str) -> list[Judgement]:
    """Sort the systems `first` was compared with, by direction."""
    found: dict[str, Judgement] = {}
    for comparison in comparisons:
        if (comparison.task, comparison.metric, comparison.first) != (
            task,
            metric,
            first,
        ) or "(no hints)" in comparison.second:
            continue
        judgement = found.setdefault(comparison.direction, Judgement(comparison.direction))
        group = {"better": judgement.better, "worse": judgement.worse}.get(comparison.verdict, judgement.same)
        group.append(comparison.second)
    return list(found.values())


def purpose(rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """The tasks of the test that the page speaks of first."""
    tested = {row["task"] for row in rows if CHIEF.get(row["task"]) == row["metric"]}
    return next((found for tasks in PURPOSES if (found := tuple(t for t in tasks if t in tested))), ())


def sentences(
    rows: Sequence[dict[str, Any]],
    comparisons: Sequence[Comparison],
    first: str,
    texts: dict[str, Any],
    name: Callable[[str], str],
) -> list[Sentence]:
    """The section "what it can and cannot do": judgements by direction, look-ups, language modelling, limits."""
    can = texts["can"]
    result: list[Sentence] = []
    if first != "tuned":
        result.append(Sentence(can["no_tuned"], "plain"))
    for judgement in judge(comparisons, "translate", "chrf", first):
        result += _direction(judgement, rows, first, texts, name)
    for task in HEADS:
        for judgement in judge(comparisons, task, CHIEF[task], first):
            result += _task(task, judgement, rows, first, texts, name)
    for row in _of(rows, "lookup", "exact", first):
        language = name(target_of(row["direction"]))
        result.append(Sentence(can["lookup"].format(language=language, **_numbers(row, "{:.0f}")), "plain"))
    for judgement in judge(comparisons, "chat", "bits_per_byte", first):
        result += _groups(judgement, "chat", texts, name)
    spoken: set[str] = set()
    for task in ("translate", "complete", "define"):
        for judgement in judge(comparisons, task, "bits_per_byte", first):
            if (language := target_of(judgement.direction)) not in spoken:
                result += _groups(judgement, "bits", texts, name)
                spoken.add(language)
    result.append(Sentence(can["facts"], "plain"))
    # What a metric asks beside the test says nothing of how small the test is.
    smallest = min((row["n"] for row in rows if row["task"] != row["metric"]), default=0)
    if 0 < smallest < 100:
        result.append(Sentence(can["few"].format(n=smallest), "plain"))
    return result


def headline(
    rows: Sequence[dict[str, Any]], comparisons: Sequence[Comparison], first: str, texts: dict[str, Any]
) -> str:
    """The one sentence at the top: did training help, and does the model beat the simple ways, in all that it is made for?"""
    short, tasks = texts["short"], purpose(rows)
    judgements = [found for task in tasks for found in judge(comparisons, task, CHIEF[task], first)]
    if first != "tuned" or not judgements:
        return str(short["verdict_unknown"])
    with_base = [j for j in judgements if "base" in j.better + j.same + j.worse]
    beaten = all(system.startswith(EARLIER) for j in judgements for system in j.same + j.worse)
    if not with_base:
        return str(short["verdict_alone_good" if beaten else "verdict_alone_mixed"])
    helped = sum("base" in j.better for j in with_base)
    if any("base" in j.worse for j in with_base):
        return str(short["verdict_harm"])
    if not helped:
        return str(short["verdict_none"])
    if helped < len(with_base):
        return str(short["verdict_partly"])
    return str(
        short["verdict_mixed" if not beaten else "verdict_good" if tasks == ("translate",) else "verdict_good_all"]
    )


def listed(systems: Sequence[str], texts: dict[str, Any], word: str = "") -> str:
    """`a, b and c` in the words of the table; the joining word comes from the table too."""
    names = [texts["systems_inline"].get(system, system) for system in systems]
    joint = word or texts["page"].get("or", "or")
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {joint} {names[-1]}"


def target_of(direction: str) -> str:
    """Language code of the answer."""
    return direction.rpartition(">")[2]


def source_language(direction: str) -> str:
    """Language code of the question."""
    return direction.partition(">")[0]


def _direction(
    judgement: Judgement, rows: Sequence[dict[str, Any]], first: str, texts: dict[str, Any], name: Callable[[str], str]
) -> list[Sentence]:
    can, language = texts["can"], name(target_of(judgement.direction))
    result = []
    if judgement.better:
        others = listed(judgement.better, texts, texts["page"].get("and", "and"))
        result.append(Sentence(can["beats"].format(language=language, others=others), "good"))
    if judgement.same:
        result.append(Sentence(can["ties"].format(language=language, others=listed(judgement.same, texts)), "bad"))
    if judgement.worse:
        key = "loses" if len(judgement.worse) == 1 else "loses_many"
        result.append(Sentence(can[key].format(language=language, others=listed(judgement.worse, texts)), "bad"))
    for row in _of(rows, "translate", "chrf", first):
        if row["direction"] == judgement.direction:
            steps = texts["levels"]["from"]
            # The low end of the interval decides, so that luck in the draw never raises the level.
            level = sum(row["low"] >= step for step in steps) - 1
            text = can["score"].format(language=language, name=row["name"], **_numbers(row, "{:.1f}"))
            result.append(Sentence(f"{text} {can[f'level_{max(0, level)}']}", "plain"))
    return result


def _task(
    task: str,
    judgement: Judgement,
    rows: Sequence[dict[str, Any]],
    first: str,
    texts: dict[str, Any],
    name: Callable[[str], str],
) -> list[Sentence]:
    """What a head reaches, and against whom."""
    title = texts["tasks"][task].format(language=name(target_of(judgement.direction)))
    found = [
        Sentence(texts["can"]["task_score"].format(task=title, name=row["name"], **_numbers(row, "{:.1f}")), "plain")
        for row in _of(rows, task, CHIEF[task], first)
        if row["direction"] == judgement.direction
    ]
    return found + _groups(judgement, "task", texts, name)


def _groups(judgement: Judgement, about: str, texts: dict[str, Any], name: Callable[[str], str]) -> list[Sentence]:
    """Whom it beats, equals and does not reach, in the words that begin with `about`."""
    can, language = texts["can"], name(target_of(judgement.direction))
    groups = (("better", judgement.better, "good"), ("same", judgement.same, "bad"), ("worse", judgement.worse, "bad"))
    joint = texts["page"].get("and", "and")
    return [
        Sentence(can[f"{about}_{key}"].format(language=language, others=listed(group, texts, joint)), tone)
        for key, group, tone in groups
        if group
    ]


def _of(rows: Sequence[dict[str, Any]], task: str, metric: str, system: str) -> list[dict[str, Any]]:
    return [row for row in rows if (row["task"], row["metric"], row["system"]) == (task, metric, system)]


def _numbers(row: dict[str, Any], form: str) -> dict[str, str]:
    return {key: form.format(row[key]) for key in ("value", "low", "high")}
