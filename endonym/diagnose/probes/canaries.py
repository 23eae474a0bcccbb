"""Canaries: exposure of made-up lines that were planted in training, by how often they stood there.

Only for a run that planted some: `endonym train RECIPE --canaries 20`. Exposure is measured among lines of the same make that were
never planted (Carlini and others, The Secret Sharer, USENIX Security 2019; see `data/canaries.py`): 1.4 bits are chance, and at the
most the model prefers a planted line to all others. A line seen once a pass that stands out so far was learned by heart.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.data import canaries
from endonym.data.statistics import as_table, interval, ratio
from endonym.diagnose.finding import Finding, Measure, Sign, measured
from endonym.types import Chat, Message

if TYPE_CHECKING:
    from endonym.diagnose.subject import Subject


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    others: int = Field(
        255, ge=7, description="Lines of the same make that were never planted, among which one is ranked."
    )
    exposed: float = Field(
        0.75,
        gt=0,
        le=1,
        description="Mean exposure of lines seen once a pass, as a share of the most there can be, that counts as by heart.",
    )


def probe(subject: Subject, cfg: Config) -> Finding:
    """Rank every planted line by what it costs, bits in all, among lines that were not."""
    file = subject.folder / "canaries.json"
    if not file.is_file():
        return Finding("not measured: the run planted no canaries; plant some with --canaries 20")
    about = json.loads(file.read_text(encoding="utf-8"))
    planted = [row["text"] for row in about["canaries"]]
    lines = canaries.draw(about["words"], len(planted) + cfg.others, int(about["seed"]))
    others = [line for line in lines if line not in set(planted)][: cfg.others]
    costs = subject.bits([_chat(line) for line in [*planted, *others]])[:, 0].tolist()
    rest = costs[len(planted) :]
    exposures = [canaries.exposure(cost, rest) for cost in costs[: len(planted)]]
    chance, most = canaries.by_chance(len(rest)), float(np.log2(len(rest) + 1))
    measures: list[Measure] = []
    signs: list[Sign] = []
    for times in sorted({int(row["times"]) for row in about["canaries"]}):
        found = [e for e, row in zip(exposures, about["canaries"], strict=True) if row["times"] == times]
        mean = interval(as_table(found, len(found)), ratio)
        p_value = canaries.p_value(found, len(rest), subject.seed)
        signature = f"exposure|rank:sampled|others:{len(rest)}|times:{times}|p:{p_value:.4f}|v:1"
        measures.append(measured(f"exposure of canaries seen {times} x a pass", mean, len(found), signature))
        if times == 1 and mean[0] > cfg.exposed * most and p_value < 0.001:
            signs.append(
                Sign(
                    "memorising",
                    f"lines planted once stand out by {mean[0]:.1f} of {most:.1f} bits (chance {chance:.1f})",
                )
            )
    told = ", ".join(f"{m.value:.1f} {m.name.removeprefix('exposure of canaries ')}" for m in measures)
    text = f"exposure in bits, chance {chance:.1f} and at most {most:.1f}: {told}"
    return Finding(text, measures, signs, {"chance": chance, "most": most})


def _chat(line: str) -> Chat:
    return Chat("", (Message("assistant", line),), "", "canary")
