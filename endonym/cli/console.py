"""What the command line prints: data on stdout, talk on stderr, and everything as JSON when asked."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from endonym.errors import EndonymError


@dataclass
class Console:
    """Where a command talks; `json` keeps stdout machine-readable, `quiet` keeps stderr to errors."""

    json: bool = False
    quiet: bool = False

    @property
    def live(self) -> bool:
        """Whether stderr is a terminal that may be redrawn."""
        return sys.stderr.isatty() and not self.quiet and os.environ.get("TERM") != "dumb"

    def say(self, text: str = "") -> None:
        """Tell the person something that is not the result."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def result(self, data: Any, text: str = "") -> None:
        """Print the result: `text` for a person, `data` as JSON with `--json`."""
        if self.json:
            print(json.dumps(data, ensure_ascii=False, indent=2, default=_plain), flush=True)
        elif text:
            print(text, flush=True)

    def stream(self, text: str) -> None:
        """Print a piece of a longer answer as it arrives."""
        print(text, end="", flush=True)

    def error(self, error: EndonymError) -> None:
        """Print an error and its repair; with `--json` also as data."""
        print(error, file=sys.stderr, flush=True)
        if self.json:
            data = {"error": {"type": type(error).__name__, "message": error.message, "hint": error.hint,
                              "exit_code": error.exit_code}}  # fmt: skip
            print(json.dumps(data, ensure_ascii=False, indent=2), flush=True)


def table(
    rows: Iterable[Sequence[Any]], header: Sequence[str] = (), right: Iterable[int] = (), wrap: bool = True
) -> str:
    """Lay out rows in columns; the columns numbered in `right` are right-aligned, the last one wraps. No rows give `""`."""
    cells = [[str(cell) for cell in row] for row in rows]
    if not cells:
        return ""
    if header:
        cells.insert(0, list(header))
    widths = [max(width(row[i]) for row in cells) for i in range(len(cells[0]))]
    flush_right = set(right)
    room = columns() - sum(widths[:-1]) - 2 * (len(widths) - 1)
    lines = []
    for row in cells:
        padded = [pad(cell, widths[i], i in flush_right) for i, cell in enumerate(row[:-1])]
        last = row[-1]
        if len(widths) - 1 in flush_right:
            last = pad(last, widths[-1], True)
        parts = (
            textwrap.wrap(last, room, break_on_hyphens=False) if wrap and room >= 24 and width(last) > room else [last]
        )
        lines.append("  ".join([*padded, parts[0] if parts else ""]).rstrip())
        indent = " " * (columns() - room)
        lines += [indent + part for part in parts[1:]]
    return "\n".join(lines)


def pad(text: str, size: int, right: bool = False) -> str:
    """Pad `text` to `size` terminal columns."""
    blank = " " * (size - width(text))
    return blank + text if right else text + blank


def width(text: str) -> int:
    """Terminal columns `text` takes: combining marks none, wide characters two."""
    return sum(
        0 if unicodedata.combining(c) or unicodedata.category(c) in ("Cf", "Mn") else
        2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )  # fmt: skip


def columns() -> int:
    """Width of the terminal, at most 120 so that lines stay readable."""
    return min(shutil.get_terminal_size((100, 24)).columns, 120)


def seconds(value: float) -> str:
    """`9 s`, `4 min 10 s`, `2 h 5 min`."""
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def number(value: Any) -> str:
    """A number as a person writes it: `12,345`, `0.0312`, `21.4`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def size(num_bytes: float) -> str:
    """`812 B`, `4.2 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if num_bytes < 1024 or unit == "GiB":
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1024
    return ""


def near(path: Path | str) -> str:
    """`path` as the shortest of relative to here, and absolute."""
    path = Path(path)
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def flat(summary: Mapping[str, Any]) -> str:
    """The plain numbers and words of a job's summary in one line."""
    parts = [
        f"{name.replace('_', ' ')} {number(value)}"
        for name, value in summary.items()
        if isinstance(value, str | int | float)
    ]
    return ", ".join(parts)


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return str(value)
