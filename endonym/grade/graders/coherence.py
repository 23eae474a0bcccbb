"""Tell from facts whether an answer hangs together: empty, in a loop, in another script, without end, or cut off.

coherence = 100 x (1 - L) x (1 - F) x E. L is the share of letters and digits that repeat what stands right before them at least twice; F that of
letters in a script that was not expected, 0 up to `tolerated`; E is `endless` for an answer that the limit of tokens cut off in a loop (L
above `loops`), `cut_off` for another one that it cut off, and 1 for one that ended. An empty answer is 0. The four settings are choices, not
measurements. Nothing here knows whether what is said makes sense: a fluent wrong answer is coherent.
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
    loops: float = Field(
        0.2, ge=0, lt=1, description="Share of letters in loops above which a cut-off answer is endless."
    )
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
        factor = cfg.endless if loop > cfg.loops else cfg.cut_off
        facts.append("without end" if loop > cfg.loops else "cut off at the limit")
    return Mark(100 * (1 - loop) * (1 - foreign) * factor, "facts", ", ".join(facts))


def loop_share(text: str) -> float:
    """Share of a text's letters and digits (of all it has, where it has neither) that repeat at least twice in a row what stands before."""
    count = _letters if _letters(text) else len
    repeated = sum(count(m.group(0)) - count(m.group(1) or m.group(2)) for m in _LOOP.finditer(text))
    return repeated / max(1, count(text))


def _letters(text: str) -> int:
    return sum(c.isalnum() for c in text)


def foreign_share(answer: Answered, grading: Grading) -> float:
    """Share of an answer's letters in scripts other than those of its references, else its language, else its question."""
    question = answer.question
    by_text = [set(count_scripts(" ".join(question.references))), set(count_scripts(question.question))]
    known = set(grading.scripts.get(question.language, ()))
    expected = next((scripts for scripts in (by_text[0], known, by_text[1]) if scripts), set())
    counts = count_scripts(answer.text)
    total = sum(counts.values())
    return sum(n for code, n in counts.items() if code not in expected) / total if expected and total else 0.0
