"""chrF++ once more with letters folded that the language writes one for another, beside the true score and never in its place.

Only for target languages with rules in `data/folding.toml` (Amharic). Answers and references are folded after the fact; training data
is not (A Case Against Implicit Standards, EMNLP 2025).
"""

from __future__ import annotations

from dataclasses import replace

from endonym.data.folding import fold, has_rules
from endonym.evaluate.items import Run
from endonym.evaluate.metrics import chrf
from endonym.evaluate.metrics.chrf import Config, aggregate
from endonym.types import Score

__all__ = ["TASKS", "Config", "aggregate", "score"]

TASKS = ("translate",)


def score(run: Run, cfg: Config) -> list[Score]:
    """Score `run` folded; nothing for a language without rules."""
    target = run.direction.rpartition(">")[2]
    if not (has_rules(target) and run.has_text):
        return []
    folded = replace(
        run,
        hypotheses=tuple(fold(text, target) for text in run.texts),
        references=tuple(tuple(fold(text, target) for text in accepted) for accepted in run.references),
    )
    return [
        replace(one, name=f"{one.name} folded", signature=f"{one.signature}|folded:{target}")
        for one in chrf.score(folded, cfg)
    ]
