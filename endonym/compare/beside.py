"""Put runs side by side: training, test, forgetting and overfitting of each in one table, with their curves in one picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from endonym.compare import charts, winners
from endonym.compare.page import size, smooth
from endonym.compare.runs import Side
from endonym.compare.significance import aggregate_of, align, read_statistics
from endonym.compare.winners import Measure
from endonym.compare.words import target_of
from endonym.data import statistics

OWN = ("forgetting", "memorisation")
"""Metrics shown in rows of their own."""
COLOURS = 6
"""Colours of lines in `report.css`; further runs take them again."""
ASKED = ("samples", "sample_temperature", "draft_votes", "max_new_tokens", "sampled_tasks")
"""Settings of an evaluation that change what a model answers."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    label: str
    cells: Sequence[str]
    winner: str = ""
    """What the last column says."""
    best: int | None = None
    """Number of the winning run, None where nothing was tested or nobody won."""


@dataclass
class Beside:
    """The comparison of runs as the page, the terminal and `comparisons.json` take it."""

    labels: Sequence[str]
    headline: str = ""
    groups: list[tuple[str, list[Row]]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    curve: Markup | None = None
    data: dict[str, Any] = field(default_factory=dict)

    def tables(self) -> list[dict[str, Any]]:
        """The table as a job's summary holds it for the terminal."""
        return [
            {"title": title, "header": ["", *self.labels, ""], "rows": [[r.label, *r.cells, r.winner] for r in rows]}
            for title, rows in self.groups
        ]


def build(
    sides: Sequence[Side],
    texts: Mapping[str, Any],
    name: Callable[[str], str],
    alpha: float,
    resamples: int,
    seed: int,
    project: Path,
) -> Beside:
    """Compare at least two runs that were tested on the same items."""
    t = texts["beside"]
    sums = {side.label: read_statistics(side.folder) for side in sides}
    scores = {s.label: [row for row in s.scores["rows"] if row["system"] == s.system] for s in sides}
    mine = {s.label: [row for row in sums[s.label] if row["system"] == s.system] for s in sides}
    found = winners.measures(scores, mine, alpha, resamples, seed, project)
    labels = [side.label for side in sides]
    best, chief = winners.overall(found, labels)
    beside = Beside(labels, t["best" if best else "no_best" if chief else "untested"].format(run=best, measure=chief))
    forgot = {s.label: forgetting(s, sums[s.label], resamples, seed, project) for s in sides}
    learned = {s.label: by_heart(s, sums[s.label]) for s in sides}
    beside.groups = [
        (t["training"], [row for row in _training(sides, t) if any(cell != "–" for cell in row.cells)]),
        (t["test"], [_tested(m, labels, texts, name) for m in found if m.metric not in OWN]),
        (t["forgetting"], _forgotten(forgot, [m for m in found if m.metric == "forgetting"], t)),
        (t["overfitting"], _overfitted(sides, learned, t)),
    ]
    beside.groups = [(title, rows) for title, rows in beside.groups if rows]
    beside.reasons = [reason(m, texts, name) for m in found if m.metric != "memorisation"]
    beside.notes = _notes(sides, alpha, t)
    beside.curve = curves(sides, t)
    beside.data = {
        "runs": [_facts(s) | {"forgetting": forgot[s.label], "memorisation": learned[s.label]} for s in sides],
        "measures": [m.as_json() for m in found], "best": best, "correction": "Holm 1979, over all pairs of a measure",
    }  # fmt: skip
    return beside


def forgetting(
    side: Side, rows: Sequence[dict[str, Any]], resamples: int, seed: int, project: Path
) -> dict[str, float] | None:
    """Bits per byte on general text before and after, and the difference on the same texts; None when not measured."""
    of = {row["system"]: row for row in rows if row["metric"] == "forgetting"}
    aggregate = aggregate_of("forgetting", project)
    if side.system == "base" or aggregate is None or not {side.system, "base"} <= set(of):
        return None
    pair = align(of[side.system], of["base"])
    if pair is None:
        return None
    after, before = (float(aggregate(stats.sum(axis=0))) for stats in pair)
    result = statistics.paired(*pair, aggregate, resamples, seed)
    change = {"difference": result.value, "low": result.low, "high": result.high, "p_value": result.p_value}
    return {"before": before, "after": after, **change, "n": result.num_items}


def by_heart(side: Side, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """By name of the count and system: share repeated of learned and of unseen texts, and the difference, in percent."""
    found: dict[str, Any] = {}
    for row in rows:
        if row["metric"] == "memorisation" and row["system"] in (side.system, "base"):
            sums = statistics.as_table(row["values"], len(row["ids"])).sum(axis=0)
            found.setdefault(row["name"], {}).setdefault(row["system"], {})[row["direction"]] = (
                float(sums[0]),
                float(sums[1]),
            )
    return {
        name: {system: _shares(both["train"], both["test"]) for system, both in systems.items() if len(both) == 2}
        for name, systems in found.items()
    }


def _shares(train: tuple[float, float], test: tuple[float, float]) -> dict[str, float]:
    value, low, high = statistics.share_difference(train, test)
    return {
        "train": 100 * train[0] / train[1], "test": 100 * test[0] / test[1], "difference": 100 * value, "low": 100 * low,
        "high": 100 * high, "n_train": train[1], "n_test": test[1],
    }  # fmt: skip


def losses(side: Side) -> tuple[float, float] | None:
    """Loss of the kept model on training and on validation rows, in bits per byte; None when not recorded."""
    seen, unseen = _bits(side, "train_loss"), _bits(side, "valid_loss")
    return None if seen is None or unseen is None else (seen, unseen)


def _bits(side: Side, name: str) -> float | None:
    value = side.about.get("best_valid_loss" if name == "valid_loss" else name)
    per_token = side.about.get("bytes_per_token", {}).get(name)
    return value / math.log(2) / per_token if value is not None and per_token else None


def curves(sides: Sequence[Side], t: Mapping[str, str]) -> Markup | None:
    """Training and validation loss of all runs; in bits per byte where every run says how many bytes its tokens are."""
    sizes = [side.about.get("bytes_per_token", {}) for side in sides if side.curve]
    shared = all(own.get("loss") and own.get("valid_loss") for own in sizes)
    lines, said = [], []
    for number, side in enumerate(sides):
        for name, style in (("loss", "train"), ("valid_loss", "valid")):
            scale = 1 / math.log(2) / side.about["bytes_per_token"][name] if shared and side.curve else 1.0
            points = [(float(p["step"]), scale * float(p["value"])) for p in side.curve if p["name"] == name]
            if len(points) > 1:
                points = smooth(points) if style == "train" else points
                lines.append(charts.Line(side.label, f"run{number % COLOURS} {style}", points))
                said.append(f"{side.label}, {t[style]}: {points[0][1]:.2f} → {points[-1][1]:.2f}")
    if not lines:
        return None
    return charts.curve(lines, t["curve"], "; ".join(said), t["steps"], t["bits" if shared else "nats"])


def reason(measure: Measure, texts: Mapping[str, Any], name: Callable[[str], str]) -> str:
    """Why a measure has the winner it has, or none."""
    t, about = texts["beside"], _title(measure, texts, name)
    if measure.winner:
        others = ", ".join(run for run in measure.values if run != measure.winner)
        return str(t["wins"].format(measure=about, run=measure.winner, others=others))
    if len({v["value"] for v in measure.values.values()}) == 1:
        return str(t["equal"].format(measure=about))
    pairs = {frozenset((p.first, p.second)): p for p in measure.pairs}
    unbeaten: list[str] = []
    for run in measure.unbeaten:
        pair = pairs.get(frozenset((measure.best, run)))
        unbeaten.append(f"{run} (p = {pair.p_adjusted:.3f})" if pair else t["not_shared"].format(run=run))
    return str(t["no_winner"].format(measure=about, best=measure.best, others=", ".join(unbeaten)))


def _tested(measure: Measure, labels: Sequence[str], texts: Mapping[str, Any], name: Callable[[str], str]) -> Row:
    t = texts["beside"]
    cells = [_interval(measure.values.get(label), 3 if measure.metric == "bits_per_byte" else 1) for label in labels]
    best = labels.index(measure.winner) if measure.winner else None
    return Row(_title(measure, texts, name), cells, measure.winner or t["none"], best)


def _title(measure: Measure, texts: Mapping[str, Any], name: Callable[[str], str]) -> str:
    if measure.metric == "forgetting":
        return str(texts["beside"]["general"])
    form = texts["tasks"].get(measure.task, texts["page"]["task_to"])
    about = form.format(task=measure.task, language=name(target_of(measure.direction)))
    return f"{measure.name}, {about[:1].lower()}{about[1:]}"


def _training(sides: Sequence[Side], t: Mapping[str, str]) -> list[Row]:
    def row(key: str, value: Callable[[Side], Any]) -> Row:
        return Row(t[key], [_or_dash(value(side)) for side in sides])

    def of(key: str, form: Callable[[Any], str]) -> Callable[[Side], Any]:
        return lambda side: None if side.about.get(key) is None else form(side.about[key])

    return [
        row("recipe", lambda s: s.about.get("recipe") or t["untrained"]),
        row("base", lambda s: t["nothing"] if s.about.get("recipe") == "scratch" or s.about.get("base_name") == "" else Path(str(s.about.get("base_name", ""))).name),
        row("vocabulary", lambda s: None if s.vocabulary is None else _count(s.vocabulary)),
        row("per_word", lambda s: None if s.tokens_per_word is None else f"{s.tokens_per_word:.2f}"),
        row("parameters", of("parameters", _count)), row("trained", of("trained_parameters", _count)),
        row("rows", of("rows", _count)), row("num_steps", of("steps", _count)), row("seen", of("tokens", _count)), row("learned", of("learned_tokens", _count)),
        row("time", of("seconds", _duration)), row("speed", of("tokens_per_second", lambda v: f"{v:,.0f}")),
        row("memory", of("peak_memory_bytes", size)), row("disk", lambda s: _disk(s, t)),
    ]  # fmt: skip


def _forgotten(
    forgot: Mapping[str, dict[str, float] | None], measured: Sequence[Measure], t: Mapping[str, str]
) -> list[Row]:
    if not any(forgot.values()):
        return []
    after = measured[0].winner if measured else ""
    labels = list(forgot)
    return [
        Row(t["before"], [_number(f["before"] if f else None) for f in forgot.values()]),
        Row(
            t["after"], [_number(f["after"] if f else None) for f in forgot.values()],
            (after or t["none"]) if measured else "", labels.index(after) if after else None,
        ),
        Row(t["change"], [f"{f['difference']:+.3f} ({f['low']:+.3f} – {f['high']:+.3f})" if f else "–" for f in forgot.values()]),
    ]  # fmt: skip


def _overfitted(sides: Sequence[Side], learned: Mapping[str, dict[str, Any]], t: Mapping[str, str]) -> list[Row]:
    found = [losses(side) for side in sides]
    result = []
    if any(found):
        result = [
            Row(t["on_train"], [_number(f[0] if f else None) for f in found]),
            Row(t["on_valid"], [_number(f[1] if f else None) for f in found]),
            Row(t["gap"], [f"{f[1] - f[0]:+.3f}" if f else "–" for f in found]),
        ]
    for name in dict.fromkeys(name for own in learned.values() for name in own):
        for key, system in (("heart", ""), ("heart_base", "base")):
            own = [learned[s.label].get(name, {}).get(system or s.system) for s in sides]
            cells = [f"{o['train']:.0f} / {o['test']:.0f}" if o else "–" for o in own]
            if any(own):
                result.append(Row(t[key].format(name=name), cells))
            if any(own) and not system:
                spans = [f"{o['difference']:+.0f} ({o['low']:+.0f} – {o['high']:+.0f})" if o else "–" for o in own]
                result.append(Row(t["heart_difference"].format(name=name), spans))
    return result


def _notes(sides: Sequence[Side], alpha: float, t: Mapping[str, str]) -> list[str]:
    num = len(sides)
    notes = [
        t["holm"].format(runs=num, pairs=num * (num - 1) // 2, alpha=alpha)
        if num > 2
        else t["one_pair"].format(alpha=alpha)
    ]
    for key in ASKED:
        values = [side.scores.get("settings", {}).get(key) for side in sides]
        if any(value != values[0] for value in values):
            told = ", ".join(f"{side.label}: {value}" for side, value in zip(sides, values, strict=True))
            notes.append(t["asked_otherwise"].format(setting=key.replace("_", "-"), values=told))
    if len({side.chats for side in sides}) > 1:
        notes.append(t["other_prompts"])
    if len({side.vocabulary for side in sides}) > 1:
        notes.append(t["other_tokens"])
    return [*notes, t["general_text"]]


def _facts(side: Side) -> dict[str, Any]:
    kept = (
        "recipe", "base_name", "parameters", "trained_parameters", "rows", "steps", "best_step", "tokens", "learned_tokens", "seconds",
        "tokens_per_second", "peak_memory_bytes", "train_loss", "best_valid_loss", "bytes_per_token",
    )  # fmt: skip
    found = losses(side)
    return {
        "run": side.job, "label": side.label, "system": side.system, **{key: side.about.get(key) for key in kept},
        "vocabulary": side.vocabulary, "tokens_per_word": side.tokens_per_word, "size_bytes": side.size_bytes,
        "base_bytes": side.base_bytes, "train_bits_per_byte": found and found[0], "valid_bits_per_byte": found and found[1],
    }  # fmt: skip


def _disk(side: Side, t: Mapping[str, str]) -> str | None:
    if side.size_bytes is None:
        return None
    return size(side.size_bytes) + (t["and_base"].format(size=size(side.base_bytes)) if side.base_bytes else "")


def _interval(values: Mapping[str, float] | None, digits: int) -> str:
    return f"{values['value']:.{digits}f} ({values['low']:.{digits}f} – {values['high']:.{digits}f})" if values else "–"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _or_dash(value: Any) -> str:
    return str(value) if value not in (None, "") else "–"


def _count(value: float) -> str:
    """A count as it is read aloud: `512`, `12,345`, `134.5 M`."""
    return f"{value / 1e6:,.1f} M" if value >= 1e6 else f"{value:,.0f}"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
