"""Choose answers to show by rule: some of the best, some drawn by lot, some of the worst, without repeating any."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """One question of the test with what was answered."""

    source: str
    reference: str
    answer: str
    memory: str
    """What the nearest known sentence gives; empty when that baseline was not asked."""


def read_outputs(folder: Path, task: str) -> dict[str, dict[str, dict[str, str]]]:
    """Outputs of an evaluation as system -> item id -> row, for one task."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    with (folder / "outputs.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["task"] == task:
                found.setdefault(row["system"], {})[row["id"]] = row
    return found


def choose(
    scores: Mapping[str, float],
    answers: Mapping[str, dict[str, str]],
    memory: Mapping[str, dict[str, str]],
    each: int,
    seed: int,
) -> dict[str, list[Sample]]:
    """Pick `each` items of every sort from one direction; ties and the lot are decided by a hash, so they never change.

    References of a single word are passed over while there are longer ones: they say little about translating.
    """
    known = [item for item in scores if item in answers]
    long = [item for item in known if len(answers[item]["reference"].split()) >= 3]
    pool = long if len(long) >= 3 * each else known

    def lot(item: str) -> str:
        return hashlib.sha256(f"{seed}:{item}".encode()).hexdigest()

    ranked = sorted(pool, key=lambda item: (-scores[item], lot(item)))
    third = max(1, min(each, len(ranked) // 3))
    best, worst = ranked[:third], ranked[len(ranked) - third :][::-1] if len(ranked) > third else []
    rest = sorted((item for item in ranked if item not in {*best, *worst}), key=lot)[:each]
    return {
        kind: [_sample(item, answers, memory) for item in items]
        for kind, items in (("good", best), ("drawn", rest), ("bad", worst))
        if items
    }


def _sample(item: str, answers: Mapping[str, dict[str, str]], memory: Mapping[str, dict[str, str]]) -> Sample:
    row = answers[item]
    return Sample(row["source"], row["reference"], row.get("text", ""), memory.get(item, {}).get("text", ""))
