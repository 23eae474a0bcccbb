"""Tell from facts whether an answer hangs together: empty, in a loop, in another script, without end, or cut off.

coherence = 100 x (1 - share of the letters that repeat what stands right before them at least twice) x (1 - share of letters in
a script that was not expected) x 0.5 for an answer that runs in a loop until the limit, or x 0.8 for one that the limit cut off. An
empty answer is 0. Nothing here knows whether what is said makes sense: a fluent wrong answer is coherent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.scripts import count_scripts
from endonym.grade.marks import Answered, Graded, Grading, Mark

_LOOP = re.compile(r"(.{2,200}?)\1{2,}|(\S)\2{7,}", re.DOTALL)


class Config(BaseModel):
    """Settings of coherence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endless: float = Field(0.5, ge=0, le=1, description="Factor for an answer that runs in a loop until the limit.")
    cut_off: float = Field(0.8, ge=0, le=1, description="Factor for an answer that the limit of tokens cut off.")
    tolerated: float = Field(
        0.1, ge=0, lt=1, description="Share of letters in another script that counts as none: names, quotations."
    )


def grade(answers: Sequence[Answered], cfg: Config, grading: Grading) -> Graded:
    """Mark coherence of every answer; the method names the facts."""
    return Graded([{"coherence": _mark(answer, cfg, grading)} for answer in answers])


def _mark(answer: Answered, cfg: Config, grading: Grading) -> Mark:
    text = answer.text.strip()
    if not text:
        return Mark(0.0, "facts", "the answer is empty")
    loop, foreign = loop_share(text), foreign_share(answer, grading)
    foreign = foreign if foreign > cfg.tolerated else 0.0
    facts = [f"{share:.0%} {what}" for share, what in ((loop, "in loops"), (foreign, "in another script")) if share]
    factor = 1.0
    if not answer.ended:
        factor = cfg.endless if loop > 0.2 else cfg.cut_off
        facts.append("without end" if loop > 0.2 else "cut off at the limit")
    return Mark(100 * (1 - loop) * (1 - foreign) * factor, "facts", ", ".join(facts))


def loop_share(text: str) -> float:
    """Share of a text's characters that repeat at least twice in a row what stands right before them."""
    repeated = sum(len(m.group(0)) - len(m.group(1) or m.group(2)) for m in _LOOP.finditer(text))
    return repeated / max(1, len(text))


def foreign_share(answer: Answered, grading: Grading) -> float:
    """Share of an answer's letters in scripts other than those of its references, else its language, else its question."""
    question = answer.question
    by_text = [set(count_scripts(" ".join(question.references))), set(count_scripts(question.question))]
    known = set(grading.scripts.get(question.language, ()))
    expected = next((scripts for scripts in (by_text[0], known, by_text[1]) if scripts), set())
    counts = count_scripts(answer.text)
    total = sum(counts.values())
    return sum(n for code, n in counts.items() if code not in expected) / total if expected and total else 0.0
