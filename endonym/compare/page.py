"""Fill the report's template: one HTML page with its style and charts inside, asking the network for nothing."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from endonym import __version__
from endonym.compare import charts, samples, words
from endonym.compare.facts import Facts
from endonym.compare.significance import Comparison
from endonym.data.rights import says

HERE = Path(__file__).parent
ORDER = ("tuned", "tuned (no hints)", "base", "base (no hints)", "memory", "dictionary", "copy", "ppm")


def strings(language: str, project: Path) -> dict[str, Any]:
    """Texts of the report: the project's own `report.<language>.toml` when there is one, else those shipped, else English."""
    texts = tomllib.loads((HERE / "report.en.toml").read_text(encoding="utf-8"))
    for file in (HERE / f"report.{language}.toml", project / f"report.{language}.toml"):
        if file.is_file():
            for table, values in tomllib.loads(file.read_text(encoding="utf-8")).items():
                texts.setdefault(table, {}).update(values)
    return texts


def render(
    *,
    about: dict[str, Any],
    texts: dict[str, Any],
    rows: Sequence[dict[str, Any]],
    comparisons: Sequence[Comparison],
    first: str,
    chosen: dict[str, dict[str, list[samples.Sample]]],
    facts: Facts,
    scores: dict[str, Any],
    name: Callable[[str], str],
    own_name: str,
    base_licence: str,
    beside: Any = None,
) -> str:
    """Return the page. `about` is the project table; `chosen` the samples by direction; `own_name` the endonym; `beside` the comparison of named runs."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = lambda value: f"{value:,}".replace(",", "\u202f").replace("-", "\u2212")
    environment.filters["size"] = size
    environment.filters["bidi"] = bidi
    signatures = list(dict.fromkeys([*(row["signature"] for row in rows), *(c.signature for c in comparisons)]))
    purpose = words.purpose(rows)
    return environment.get_template("report.html").render(
        t=texts, p=texts["page"], about=about, facts=facts, scores=scores, name=name, version=__version__,
        css=Markup((HERE / "report.css").read_text(encoding="utf-8")), date=time.strftime("%-d %B %Y"),
        headline=words.headline(rows, comparisons, first, texts), purpose=purpose, head=bool(purpose) and purpose[0] in words.HEADS,
        sentences=words.sentences(rows, comparisons, first, texts, name),
        figures=figures(rows, comparisons, first, texts, name), tables=tables(rows, comparisons, first, texts, signatures),
        signatures=signatures, samples=chosen, curve=loss_curve(facts.curve, texts), tokenizer_svg=Markup(facts.tokenizer_svg),
        own_name=own_name, base=Path(about["base"]).name, base_licence=base_licence, target_of=words.target_of, source_of=words.source_language, beside=beside, restriction=says,
    )  # fmt: skip


def figures(
    rows: Sequence[dict[str, Any]],
    comparisons: Sequence[Comparison],
    first: str,
    texts: dict[str, Any],
    name: Callable[[str], str],
) -> list[dict[str, Any]]:
    """One dot-and-interval chart for each task that the model is made for, and each direction."""
    found = []
    for task in words.purpose(rows):
        own = [row for row in rows if (row["task"], row["metric"]) == (task, words.CHIEF[task])]
        for direction in dict.fromkeys(row["direction"] for row in own):
            here = [row for row in own if row["direction"] == direction]
            found.append(_figure(task, here, first, texts, name(words.target_of(direction))))
    return found


def _figure(task: str, here: list[dict[str, Any]], first: str, texts: dict[str, Any], language: str) -> dict[str, Any]:
    """The chart of the rows of one metric, the best system first."""
    higher = here[0]["higher_is_better"]
    here.sort(key=lambda row: -row["value"] if higher else row["value"])
    form = "{:.1f}" if higher else "{:.2f}"
    points = [
        charts.Dot(
            label(row["system"], texts), row["value"], row["low"], row["high"], row["system"] == first,
            f"{form.format(row['value'])}  ({form.format(row['low'])}–{form.format(row['high'])})",
        )
        for row in here
    ]  # fmt: skip
    titled = texts["page"]["to"] if task == "translate" else texts["tasks"][task]
    title = titled.format(language=language)
    said = "; ".join(f"{dot.label} {dot.text}" for dot in points)
    axis = texts["page"]["chart_axis" if higher else "chart_axis_bits"].format(name=here[0]["name"])
    return {"title": title, "n": here[0]["n"], "svg": charts.dots(points, title, said, axis)}


def tables(
    rows: Sequence[dict[str, Any]],
    comparisons: Sequence[Comparison],
    first: str,
    texts: dict[str, Any],
    signatures: list[str],
) -> list[dict[str, Any]]:
    """Every number: one table per task and direction, rows grouped by metric, the systems in a fixed order."""
    verdicts = {(c.task, c.direction, c.metric, c.name, c.second): c for c in comparisons if c.first == first}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in sorted(rows, key=lambda r: (r["task"] != "translate", r["task"], r["direction"], *_rank(r))):
        table = {"task": row["task"], "direction": row["direction"], "metrics": {}}
        table = found.setdefault((row["task"], row["direction"]), table)
        comparison = verdicts.get((row["task"], row["direction"], row["metric"], row["name"], row["system"]))
        form = "{:.3f}" if row["metric"] in ("bits_per_byte", "forgetting") else "{:.1f}"
        table["metrics"].setdefault(row["name"], []).append({
            "label": label(row["system"], texts), "chief": row["system"] == first, "n": row["n"],
            "value": form.format(row["value"]), "low": form.format(row["low"]), "high": form.format(row["high"]),
            "better_is": "higher" if row["higher_is_better"] else "lower",
            "verdict": texts["verdicts"][comparison.verdict].format(first=texts["systems_inline"].get(first, first)) if comparison else texts["verdicts"]["self"],
            "tone": {"better": "good", "worse": "bad"}.get(comparison.verdict, "plain") if comparison else "plain",
            "p": f"{comparison.p_value:.3f}" if comparison else "",
            "signature": signatures.index(row["signature"]) + 1,
        })  # fmt: skip
    return [table | {"metrics": list(table["metrics"].items())} for table in found.values()]


def loss_curve(points: Sequence[dict[str, Any]], texts: dict[str, Any]) -> Markup | None:
    """The training curve, None when there are fewer than two points."""
    p = texts["page"]
    lines = []
    for text, kind, name in ((p["loss_train"], "other", "loss"), (p["loss_valid"], "chief", "valid_loss")):
        found = [(float(row["step"]), float(row["value"])) for row in points if row["name"] == name]
        if len(found) > 1:
            lines.append(charts.Line(text, kind, smooth(found) if kind == "other" else found))
    if not lines:
        return None
    said = "; ".join(f"{line.label}: {line.points[0][1]:.2f} → {line.points[-1][1]:.2f}" for line in lines)
    return charts.curve(lines, p["training"], said, p["steps"], p["loss"])


def smooth(points: list[tuple[float, float]], wanted: int = 80) -> list[tuple[float, float]]:
    """Average neighbours so that at most about `wanted` points are drawn."""
    size = max(1, len(points) // wanted)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(group[-1][0], sum(b for _, b in group) / len(group)) for group in groups]


def label(system: str, texts: dict[str, Any]) -> str:
    """Name of a system as the page shows it."""
    return str(texts["systems"].get(system, system))


def bidi(text: str, language: str = "") -> Markup:
    """User text for the page: escaped, in its own direction, marked with its language, line breaks kept."""
    lang = Markup(' lang="{}"').format(language) if language else Markup("")
    return Markup('<span class="text" dir="auto"{}>{}</span>').format(lang, text)


def _rank(row: dict[str, Any]) -> tuple[int, str, int]:
    """Place of a row inside its table: the chief metric of the task first, then the systems in their fixed order."""
    system = row["system"]
    place = ORDER.index(system) if system in ORDER else len(ORDER)
    return int(row["metric"] != words.CHIEF.get(row["task"])), row["metric"], place


def size(count: float) -> str:
    """A number of bytes as a person reads it."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count = count / 1000
    return f"{count:.1f} GB"
