"""The table of scores a run ends with, read from the newest `scores` artifact."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from endonym.cli.console import columns, pad, width

if TYPE_CHECKING:
    from endonym.project import Project

HEADLINE = (
    "chrf", "bits_per_byte", "exact", "accuracy", "macro_f1", "tag_f1", "span_f1", "answer_exact", "answer_f1", "recall_at_1",
    "mrr",
)  # fmt: skip


def score_rows(project: Project) -> list[dict[str, Any]]:
    """Every score of the newest evaluation: system, task, direction, metric, value, interval, signature."""
    folder = project.newest("scores")
    path = folder / "scores.json" if folder else None
    if path is None or not path.is_file():
        return []
    return list(json.loads(path.read_text(encoding="utf-8"))["rows"])


def score_table(project: Project, metrics: tuple[str, ...] = HEADLINE) -> str:
    """One block a metric: systems down, tasks and directions across, each score with its 95 % interval; `""` without scores.

    An empty `metrics` shows all there are.
    """
    rows = score_rows(project)
    names = dict.fromkeys((row["metric"], row["name"]) for row in rows)
    blocks = []
    for metric, name in names:
        if not metrics or metric in metrics:
            blocks.append(_block([row for row in rows if row["metric"] == metric and row["name"] == name]))
    return "\n\n".join(blocks)


def _block(rows: list[dict[str, Any]]) -> str:
    across = list(dict.fromkeys((row["task"], row["direction"]) for row in rows))
    # The chief task first: its column decides the order of the systems.
    across.sort(key=lambda column: column[0] != "translate")
    cells = {(row["system"], row["task"], row["direction"]): row for row in rows}
    up = bool(rows[0]["higher_is_better"])
    better = "higher is better" if up else "lower is better"

    def place(system: str) -> float:
        found = [cells[(system, *column)]["value"] for column in across if (system, *column) in cells]
        return (-found[0] if up else found[0]) if found else float("inf")

    systems = sorted(dict.fromkeys(row["system"] for row in rows), key=place)
    side = max(width(system) for system in systems)
    heads = [f"{task} {direction}".strip() for task, direction in across]
    body = [[_cell(cells.get((system, *column))) for column in across] for system in systems]
    widths = [max(width(head), *(width(line[i]) for line in body)) for i, head in enumerate(heads)]
    lines = [f"{rows[0]['name']} ({better}; 95 % interval)"]
    for part in _fitting(widths, columns() - side - 2):
        lines.append("  " + " " * side + "".join(f"   {pad(heads[i], widths[i])}" for i in part).rstrip())
        for system, line in zip(systems, body, strict=True):
            lines.append("  " + pad(system, side) + "".join(f"   {pad(line[i], widths[i])}" for i in part).rstrip())
    return "\n".join(lines)


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return "-"
    digits = 2 if abs(row["value"]) < 10 else 1
    return f"{row['value']:.{digits}f} [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"


def _fitting(widths: list[int], room: int) -> list[list[int]]:
    """Column numbers in groups that fit side by side."""
    groups: list[list[int]] = [[]]
    used = 0
    for i, size in enumerate(widths):
        if groups[-1] and used + size + 3 > room:
            groups.append([])
            used = 0
        groups[-1].append(i)
        used += size + 3
    return groups
