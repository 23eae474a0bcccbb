"""Repairs that a filter offers: counted and shown with samples before they are applied, and applied only where the user says so."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from endonym.data.scripts import count_blocks
from endonym.types import Record

SHOWN = 8
KEPT = 1000
"""Repairs listed in `repairs.jsonl` for one filter; the counts are of all."""
_WIDEST = 60


@dataclass
class Repairs:
    """What one filter found to repair."""

    name: str
    applied: bool
    texts: int = 0
    records: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    """Times each kind of repair was found."""
    listed: list[dict[str, Any]] = field(default_factory=list)
    added: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)

    def found(self, record: Record, language: str, before: str, after: str, kinds: Counter[str]) -> str:
        """Count one text that could be repaired; returns the text the record goes on with."""
        self.texts += 1
        self.counts += kinds
        if len(self.listed) < KEPT:
            self.listed.append({"record": record.id, "origin": record.origin, "language": language,
                                "before": before, "after": after, "applied": self.applied})  # fmt: skip
        if not self.applied:
            return before
        self.changed(before, after)
        return after

    def changed(self, before: str, after: str) -> None:
        """Count the characters of a change, so that the ledger balances."""
        old, new = count_blocks(before), count_blocks(after)
        self.added.update(new - old)
        self.removed.update(old - new)

    def as_json(self, how: str) -> dict[str, Any]:
        """Plain data for `filters.json`; `how` is the setting that applies the repairs. Empty when nothing was found."""
        if not self.texts:
            return {}
        done = "repaired" if self.applied else f"not changed; to repair them: {how}"
        rows = [[*_around(one["before"], one["after"]), one["origin"]] for one in self._samples()]
        title = f"{self.name}: {self.texts:,} texts ({done})"
        kinds = dict(self.counts.most_common(50))
        return {
            "texts": self.texts, "applied": self.applied, "kinds": kinds, "added": dict(self.added), "removed": dict(self.removed),
            "repairs": self.listed, "tables": [{"title": title, "header": ["as it stands", "repaired", "where"], "rows": rows}],
        }  # fmt: skip

    def _samples(self) -> list[dict[str, Any]]:
        """Some that differ in what changes, from the whole list."""
        seen: dict[tuple[str, str], dict[str, Any]] = {}
        for one in self.listed:
            seen.setdefault(_around(one["before"], one["after"]), one)
        return list(seen.values())[:SHOWN]


def _around(before: str, after: str) -> tuple[str, str]:
    """The parts of two texts that differ, with a little of what stands around them."""
    first = next((i for i, (a, b) in enumerate(zip(before, after)) if a != b), min(len(before), len(after)))
    most = min(len(before), len(after)) - first
    last = next((i for i in range(most) if before[-1 - i] != after[-1 - i]), most)
    start = max(0, first - 15)

    def part(text: str) -> str:
        cut = text[start : len(text) - last + 15 if last > 15 else len(text)].replace("\n", " ")
        return ("…" if start else "") + (cut if len(cut) <= _WIDEST else cut[: _WIDEST - 1] + "…")

    return part(before), part(after)
