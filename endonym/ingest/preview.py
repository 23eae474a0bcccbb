"""What a pattern makes of a dictionary: how many lines fit, which fields they hold, and why the others do not."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from endonym.ingest.readers.structured import Config, Line, parsed


@dataclass
class Preview:
    """The numbers of a file, and its first lines that fit and that do not."""

    patterns: list[str]
    total: int = 0
    parsed: int = 0
    fields: Counter[str] = field(default_factory=Counter)
    """How often each field was found."""
    reasons: Counter[str] = field(default_factory=Counter)
    """What was expected where lines stopped fitting, and in how many."""
    fit: list[Line] = field(default_factory=list)
    unfit: list[Line] = field(default_factory=list)

    @property
    def percent(self) -> float:
        return 100 * self.parsed / self.total if self.total else 0.0

    def as_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        lines = [{"line": line.number, "text": line.text, "fields": [asdict(one) for one in line.found]}
                 for line in self.fit if isinstance(line.found, list)]  # fmt: skip
        left = [{"line": line.number, "text": line.text, "column": line.found.place + 1, "reason": line.found.expected or line.found.why}
                for line in self.unfit if not isinstance(line.found, list)]  # fmt: skip
        return {"patterns": self.patterns, "entries": self.total, "parsed": self.parsed, "percent": round(self.percent, 2),
                "fields": dict(self.fields), "reasons": dict(self.reasons), "fit": lines, "unfit": left}  # fmt: skip


def preview(path: Path, cfg: Config, most: int) -> Preview:
    """Compare a whole file with the pattern of the settings, keeping at most so many lines of each kind. Raises DataError."""
    made = Preview([cfg.pattern] if isinstance(cfg.pattern, str) else list(cfg.pattern))
    for line in parsed(path, cfg):
        made.total += 1
        if isinstance(line.found, list):
            made.parsed += 1
            made.fields.update(one.name for one in line.found)
        else:
            made.reasons[line.found.expected or str(line.found)] += 1
        lines = made.fit if isinstance(line.found, list) else made.unfit
        if len(lines) < most:
            lines.append(line)
    return made
