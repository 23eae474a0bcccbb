"""Draw the tokenizer report as an SVG that stands alone and also sits well inside a page.

Positions are percentages of the width and there is no `viewBox`, so that letters keep their size on a narrow screen.
"""

from __future__ import annotations

from html import escape
from typing import Any

GROUP, BAR = 74, 20

STYLE = """
  .tk text { font: 13px system-ui, "Noto Sans", sans-serif; fill: var(--ink, #25211c) }
  .tk .quiet { fill: var(--quiet, #6d655a); font-size: 12px }
  .tk .ours { fill: var(--accent, #9a3f1d) }
  .tk .theirs { fill: var(--other, #7f8a94) }
"""


def plot(report: dict[str, Any], names: dict[str, str] | None = None) -> str:
    """Tokens a text, tokens a word, bytes a token, a bar for each language that has texts; `names` are languages by code."""
    names = names or {}
    sides = [(kind, side) for kind, side in (("ours", report["target"]), ("theirs", report["pivot"])) if side["texts"]]
    group = GROUP - BAR * (2 - len(sides))
    groups = [
        ("Tokens a sentence, fewer is cheaper", "tokens_per_text", "{:.1f}"),
        ("Tokens a word, fewer is cheaper", "tokens_per_word", "{:.2f}"),
        ("Bytes a token, more is cheaper", "bytes_per_token", "{:.2f}"),
    ]
    height = group * len(groups) - 8
    parts = [
        f'<svg class="tk" xmlns="http://www.w3.org/2000/svg" width="100%" height="{height}" role="img" '
        f'aria-labelledby="tk-title tk-desc">\n<title id="tk-title">Tokenizer fit</title>\n'
        f'<desc id="tk-desc">{escape(report["advice"])}</desc>\n<style>{STYLE}</style>'
    ]
    for i, (label, key, form) in enumerate(groups):
        y = i * group
        largest = max(side[key] for _, side in sides) or 1.0
        parts.append(f'<text class="quiet" x="0" y="{y + 13}">{label}</text>')
        for j, (kind, side) in enumerate(sides):
            language = names.get(side["language"], side["language"])
            parts.append(_bar(y + 20 + j * BAR, side[key] / largest, kind, language, form.format(side[key])))
    return "\n".join([*parts, "</svg>\n"])


def _bar(y: int, share: float, kind: str, label: str, value: str) -> str:
    """A bar from 26 % to 88 % of the width, its language before it and its number behind it."""
    return (
        f'<text x="0" y="{y + 13}">{escape(label)}</text>'
        f'<rect class="{kind}" x="26%" y="{y + 2}" width="{max(0.4, 62 * share):.2f}%" height="14" rx="2"/>'
        f'<text x="100%" y="{y + 13}" text-anchor="end">{value}</text>'
    )
