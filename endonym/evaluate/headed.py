"""Ask a model with a head the questions of its kind, and the same head on the plain base beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from endonym.errors import UsageError
from endonym.evaluate.items import Item

if TYPE_CHECKING:
    from endonym.evaluate.outputs import Outputs
    from endonym.evaluate.systems import Asked
    from endonym.models.heads import Judge

PLAIN = "plain"
"""Where in a run's output the same head on the plain base lies."""


SHOWN = ("accuracy", "macro_f1", "tag_f1", "span_f1", "answer_exact", "answer_f1", "recall_at_1", "mrr")
"""The metrics of what heads say, which are shown when an evaluation ends."""


def task_of(model: Path | None) -> str:
    """The task whose questions a model's head answers; `""` for one that goes on writing, and for none."""
    import json

    if model is None or not (model / "weights" / "config.json").is_file():
        return ""
    config = json.loads((model / "weights" / "config.json").read_text(encoding="utf-8"))
    return str(config["kind"]) if config.get("model_type") == "endonym_heads" else ""


def asked_of(task: str, tasks: Sequence[str]) -> list[str]:
    """The tasks that are asked for, of a model with a head its own alone. Raises UsageError where others were named."""
    if task and tasks and task not in tasks:
        raise UsageError(f"this model answers '{task}' and not {', '.join(tasks)}", f"Use --tasks {task}, or none.")
    return [task] if task else list(tasks)


def fitting(metrics: Mapping[str, tuple[ModuleType, Any]], task: str) -> Mapping[str, tuple[ModuleType, Any]]:
    """The metrics that a head's answers are scored by: of a head of this task its own, else all."""
    return {n: pair for n, pair in metrics.items() if task in pair[0].TASKS} if task else metrics


def tables(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A table for each task and direction that heads have: systems down, scores with their intervals across; to be shown at the end."""
    found: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for row in (row for row in rows if row["metric"] in SHOWN):
        cells = found.setdefault((row["task"], row["direction"]), {}).setdefault(row["system"], {})
        cells[row["name"]] = f"{row['value']:.1f} [{row['low']:.1f}, {row['high']:.1f}]"
    made = []
    for (task, direction), systems in found.items():
        names = list(dict.fromkeys(name for cells in systems.values() for name in cells))
        lines = [[system, *(cells.get(name, "-") for name in names)] for system, cells in systems.items()]
        made.append(
            {
                "title": f"{task} {direction} on the sealed test, with 95 % intervals",
                "header": ["", *names],
                "rows": lines,
            }
        )
    return made


def ask(folder: Path, system: str, items: Sequence[Item], outputs: Outputs, asked: Asked) -> None:
    """Let the head in a run's folder answer what it has not answered yet."""
    from endonym.evaluate.systems import chunks
    from endonym.models.heads import load_judge

    judge = load_judge(folder)
    ranking = _Ranking(judge, items)
    for chunk in chunks(list(items), asked.batch_size, False):
        missing = outputs.missing(system, chunk)
        if missing and not asked.cancelled():
            outputs.add(system, missing, _answers(judge, missing, ranking))


def _answers(judge: Judge, items: Sequence[Item], ranking: _Ranking) -> list[dict[str, Any]]:
    from endonym.models.heads import Asked

    asked = [
        Asked(str(item.chat.meta.get("context", item.source)), str(item.chat.meta.get("question", "")))
        for item in items
    ]
    said = judge.judge(asked)
    if judge.config.kind == "embed":
        return [ranking.answer(item, one["vector"]) for item, one in zip(items, said, strict=True)]
    if judge.config.kind == "tag":
        return [{"text": " ".join(tag for _, tag in one["words"])} for one in said]
    return [{"text": one.get("label", one.get("answer"))} for one in said]


class _Ranking:
    """All answers of each direction as vectors: among them a text is looked for."""

    def __init__(self, judge: Judge, items: Sequence[Item]):
        self._judge = judge
        self._texts: dict[str, list[str]] = {}
        for item in items if judge.config.kind == "embed" else ():
            self._texts.setdefault(item.direction, []).append(item.references[0])
        self._vectors: dict[str, Any] = {}

    def answer(self, item: Item, vector: Sequence[float]) -> dict[str, Any]:
        """The nearest text, and as which the first right one comes."""
        import numpy as np

        from endonym.models.heads import Asked

        texts = list(dict.fromkeys(self._texts[item.direction]))
        if item.direction not in self._vectors:
            made = self._judge.judge([Asked(text) for text in texts])
            self._vectors[item.direction] = np.array([one["vector"] for one in made])
        return ranked(self._vectors[item.direction] @ np.array(vector), texts, item.references)


def ranked(scores: Any, texts: Sequence[str], right: Sequence[str]) -> dict[str, Any]:
    """The text with the highest score, and in `counts` the rank of the best that is right: those with its score come before it."""
    best = max(float(score) for score, text in zip(scores, texts, strict=True) if text in right)
    place = sum(float(score) >= best for score, text in zip(scores, texts, strict=True) if text not in right)
    top = max(range(len(texts)), key=lambda n: (float(scores[n]), texts[n] not in right))
    return {"text": texts[top], "counts": [1 + place]}
