"""Turn what the systems answered into rows of scores, with the per-item statistics a comparison needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from endonym.data.dataset import Dataset
from endonym.evaluate.items import Item, make_run
from endonym.evaluate.outputs import Outputs
from endonym.types import Score


def items_hash(dataset: Dataset, items: list[Item]) -> str:
    """SHA-256 over the dataset and the questions and answers drawn from it: equal hashes may be compared."""
    digest = hashlib.sha256(dataset.hash.encode())
    for item in sorted(items, key=lambda item: (item.task, item.id)):
        digest.update(json.dumps([item.task, item.id, item.source, item.references], ensure_ascii=False).encode())
    return digest.hexdigest()


def score_all(
    items: list[Item], names: list[str], outputs: Outputs, metrics: Mapping[str, tuple[ModuleType, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Score every system on every task and direction; returns table rows, and the per-item statistics behind them."""
    groups: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        groups.setdefault((item.task, item.direction), []).append(item)
    own = {name for name, (module, _) in metrics.items() if hasattr(module, "questions")}
    rows, statistics = [], []
    for (task, direction), group in sorted(groups.items()):
        for system in names:
            if outputs.missing(system, group):
                continue
            answered = make_run(system, group, [outputs.get(system, item) or {} for item in group])
            for metric, (module, settings) in metrics.items():
                if getattr(module, "TASKS", ()) and task not in module.TASKS:
                    continue
                # Questions of a metric are its own, and it scores nothing else.
                if metric != task and own & {metric, task}:
                    continue
                for score in module.score(answered, settings):
                    key = {"system": system, "task": task, "direction": direction, "metric": metric, "name": score.name}
                    rows.append(key | _row(score))
                    statistics.append(key | {"ids": list(answered.ids), "values": list(score.per_item)})
    return rows, statistics


def _row(score: Score) -> dict[str, Any]:
    return {
        "value": score.value, "low": score.low, "high": score.high, "signature": score.signature, "n": score.num_items,
        "higher_is_better": score.higher_is_better,
    }  # fmt: skip
