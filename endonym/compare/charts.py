"""Charts of the report as SVG: they keep their text size at any width, take the page's colours, and describe themselves.

Positions are percentages of the width and there is no `viewBox`, so on a telephone lines get shorter and letters do not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape


@dataclass(frozen=True)
class Dot:
    """One system on a dot-and-interval chart."""

    label: str
    value: float
    low: float
    high: float
    chief: bool = False
    """Drawn in the accent colour: the system the page is about."""
    text: str = ""


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers between `low` and `high`, about `wanted` of them (Heckbert's nice numbers)."""
    span = max(high - low, 1e-9)
    raw = span / max(1, wanted)
    power = 10 ** math.floor(math.log10(raw))
    step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= raw)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def dots(rows: Sequence[Dot], title: str, description: str, axis: str, from_zero: bool = True) -> Markup:
    """Dot-and-interval chart, one line a system, label above its line; the first grid line is the axis."""
    low = 0.0 if from_zero else min(row.low for row in rows)
    high = max(row.high for row in rows) or 1.0
    marks = ticks(low, high + 0.12 * (high - low))
    top = max(marks[-1], high)

    def x(value: float) -> str:
        return f"{1 + 97 * (value - low) / (top - low):.2f}%"

    row_height, foot = 44, 40
    height = len(rows) * row_height + foot
    parts = [_open(title, description, height, "dots")]
    for mark in marks:
        parts.append(f'<line class="grid" x1="{x(mark)}" x2="{x(mark)}" y1="4" y2="{height - foot + 4}"/>')
        anchor = "start" if mark == marks[0] else "end" if mark == marks[-1] else "middle"
        parts.append(
            f'<text class="quiet" x="{x(mark)}" y="{height - foot + 20}" text-anchor="{anchor}">{mark:g}</text>'
        )
    for i, row in enumerate(rows):
        y = i * row_height + 32
        kind = "chief" if row.chief else "other"
        parts.append(f'<text class="label {kind}" x="1%" y="{y - 12}">{escape(row.label)}</text>')
        parts.append(f'<text class="value {kind}" x="99%" y="{y - 12}" text-anchor="end">{escape(row.text)}</text>')
        parts.append(f'<line class="span {kind}" x1="{x(row.low)}" x2="{x(row.high)}" y1="{y}" y2="{y}"/>')
        parts.append(f'<circle class="dot {kind}" cx="{x(row.value)}" cy="{y}" r="5.5"/>')
    parts.append(f'<text class="quiet" x="1%" y="{height - 4}">{escape(axis)}</text></svg>')
    return Markup("\n".join(parts))


@dataclass(frozen=True)
class Line:
    """One line of a curve."""

    label: str
    kind: str
    """`chief` or `other`: the colour."""
    points: Sequence[tuple[float, float]]


def curve(lines: Sequence[Line], title: str, description: str, x_label: str, y_label: str) -> Markup:
    """Line chart over steps; the y axis starts at zero only when the data come near it, and says its numbers."""
    points = [point for line in lines for point in line.points]
    right = max(p[0] for p in points) or 1.0
    low, high = min(p[1] for p in points), max(p[1] for p in points)
    low = 0.0 if low < 0.35 * high else low - 0.1 * (high - low)
    marks = ticks(low, high, 4)
    high = max(high, marks[-1])
    if high <= low:
        high = low + 1
    height, top, foot = 250, 26, 30
    plot = height - top - foot

    def y(value: float) -> float:
        return top + plot * (1 - (value - low) / (high - low))

    parts = [_open(title, description, height, "curve"), f'<text class="quiet" x="0" y="12">{escape(y_label)}</text>']
    for mark in marks:
        parts.append(f'<line class="grid" x1="0" x2="100%" y1="{y(mark):.1f}" y2="{y(mark):.1f}"/>')
        parts.append(f'<text class="quiet" x="100%" y="{y(mark) - 5:.1f}" text-anchor="end">{mark:g}</text>')
    # The inner drawing stretches with the page; its strokes do not, thanks to non-scaling-stroke.
    parts.append(
        f'<svg x="0" y="{top}" width="92%" height="{plot}" viewBox="0 0 1000 1000" preserveAspectRatio="none">'
    )
    for line in lines:
        path = " ".join(f"{1000 * a / right:.1f},{1000 * (y(b) - top) / plot:.1f}" for a, b in line.points)
        parts.append(f'<polyline class="line {line.kind}" points="{path}" vector-effect="non-scaling-stroke"/>')
    foot_y = height - foot + 20
    parts.append(f'</svg><text class="quiet" x="0" y="{foot_y}">0</text>')
    parts.append(f'<text class="quiet" x="46%" y="{foot_y}" text-anchor="middle">{escape(x_label)}</text>')
    parts.append(f'<text class="quiet" x="92%" y="{foot_y}" text-anchor="end">{right:g}</text></svg>')
    return Markup("\n".join(parts))


def _open(title: str, description: str, height: int, kind: str) -> str:
    name = "c" + str(abs(hash_text(title + description)))
    return (
        f'<svg class="chart {kind}" xmlns="http://www.w3.org/2000/svg" width="100%" height="{height}" role="img" '
        f'aria-labelledby="{name}t {name}d"><title id="{name}t">{escape(title)}</title>'
        f'<desc id="{name}d">{escape(description)}</desc>'
    )


def hash_text(text: str) -> int:
    """A small number that is the same in every process, for element ids."""
    import zlib

    return zlib.crc32(text.encode())
