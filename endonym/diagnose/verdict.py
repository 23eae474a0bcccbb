"""The verdict in words: learning, memorising, or not enough data, with the reasons for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from endonym.diagnose.finding import Finding, Says

Verdict = Literal["memorising", "not enough data", "learning", "cannot be told"]

ADVICE: Mapping[Verdict, str] = {
    "memorising": "Train for fewer steps, with more weight decay or dropout, or on more text.",
    "not enough data": "More text would help most; see the learning curve for how much.",
    "learning": "",
    "cannot be told": "Give the split a larger valid_size, or texts of at least a hundred bytes.",
}
ORDER: tuple[tuple[Says, Verdict], ...] = (
    ("memorising", "memorising"),
    ("too little", "not enough data"),
    ("learning", "learning"),
)
"""Which sign decides: whoever repeats its texts memorises, however well it does besides."""


@dataclass(frozen=True)
class Decided:
    """A verdict, why, and what to do about it."""

    verdict: Verdict
    reasons: tuple[str, ...]
    advice: str

    @property
    def text(self) -> str:
        return " ".join(part for part in (f"{self.verdict}: {'; '.join(self.reasons)}.", self.advice) if part)


def decide(findings: Mapping[str, Finding]) -> Decided:
    """The first verdict in `ORDER` that a sign speaks for, with all signs that do."""
    signs = [sign for finding in findings.values() for sign in finding.signs]
    for says, verdict in ORDER:
        reasons = tuple(sign.why for sign in signs if sign.says == says)
        if reasons:
            return Decided(verdict, reasons, ADVICE[verdict])
    return Decided("cannot be told", ("no probe had enough to go by",), ADVICE["cannot be told"])
