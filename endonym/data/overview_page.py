"""Fill the page that shows a project's data: one HTML file that asks the network for nothing, in the style of the report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from endonym import __version__
from endonym.data.languages import language, name
from endonym.data.overview import LENGTHS, STAGES, Overview
from endonym.data.quality import BANDS

HERE = Path(__file__).parent
STYLE = HERE.parent / "compare" / "report.css"
"""The report's style, so that both pages look alike."""
MOST_SOURCES = 25


def render(view: Overview, about: dict[str, Any]) -> str:
    """Return the page; `about` is the project table."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = spaced
    environment.filters["bidi"] = bidi
    code = about["language"]
    sources = sorted(view.sources.items(), key=lambda item: -item[1]["records"])
    tops = [100, *(least for least, _ in BANDS)]
    return environment.get_template("overview.html").render(
        v=view, about=about, name=name, own_name=language(code).names.get(code, name(code)), version=__version__,
        css=Markup(STYLE.read_text(encoding="utf-8")), date=time.strftime("%-d %B %Y"), headline=headline(view),
        verb=dict(STAGES)[view.looked_at], sources=sources[:MOST_SOURCES], more_sources=max(0, len(sources) - MOST_SOURCES),
        most_source=max((row["records"] for _, row in sources), default=1),
        bands=[{"name": band, "text": f"{least} to {top}"} for (least, band), top in zip(BANDS, tops)],
        ends=[*(f"≤ {end}" for end in LENGTHS), "more"],
    )  # fmt: skip


def headline(view: Overview) -> str:
    """The data in a sentence or two."""
    first = view.stages[0]
    dropped = sum(row["count"] for row in view.drops)
    files = f"{len(view.sources)} file{'s' * (len(view.sources) != 1)}"
    said = f"{spaced(view.records)} records from {files}; "
    said += f"{spaced(dropped)} of {spaced(first['read'])} were dropped, each with its reason."
    measured = sum(view.bands.values())
    if measured:
        good = view.bands["high"] + view.bands["fair"]
        said += f" {good / measured:.0%} are of high or fair quality."
    return said


def spaced(value: int) -> str:
    """A number with narrow spaces between its thousands."""
    return f"{value:,}".replace(",", "\u202f").replace("-", "\u2212")


def bidi(text: str, code: str = "") -> Markup:
    """User text: escaped, in its own direction, marked with its language, line breaks kept."""
    lang = Markup(' lang="{}"').format(code) if code else Markup("")
    return Markup('<span class="text" dir="auto"{}>{}</span>').format(lang, text)
