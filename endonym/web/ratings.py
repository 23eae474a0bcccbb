"""Blind ratings by people: what to show next, with sides drawn by lot, and what the ratings say.

`ratings.jsonl` in the project's folder has a line for everything that was shown (which system stood on which side) and for every rating.
Of the ratings of one showing the last counts, so that one may be taken back. Items come from the sealed test, which is for measuring, and
from question sets (`grade`); only ratings of the latter become preferences to train on.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from endonym.data import agreement
from endonym.data.statistics import interval, ratio, sign_test
from endonym.project import Project
from endonym.store import jobs as rows
from endonym.types import Message, Preference, record_id, to_json
from endonym.web.answers import read_json

FILE = "ratings.jsonl"
REPEATED = 8
"""Every so many showings to a rater, one is repeated, to learn how far they agree with themselves."""
APART = 5
"""Showings between a rating and its repetition, at least."""
Kind = Literal["ab", "span"]
VALUES = {"left": 1.0, "tie": 0.5, "right": 0.0}


@dataclass(frozen=True)
class Item:
    """One question with the answers of the systems to be rated."""

    id: str
    origin: str
    """`test` or `questions`."""
    about: dict[str, Any]
    """What a rater sees of it: task, direction, source, reference."""
    prompt: str
    texts: dict[str, str]


@dataclass
class Shown:
    """One showing and what was said of it."""

    id: str
    kind: Kind
    item: str
    origin: str
    rater: str
    systems: tuple[str, ...]
    """`ab`: what stood left and right; `span`: the one that was shown."""
    texts: tuple[str, ...]
    prompt: str
    rating: dict[str, Any] | None = None
    line: int = 0


@dataclass
class Ratings:
    """Everything that was shown and said, in order."""

    path: Path
    shown: dict[str, Shown] = field(default_factory=dict)

    @classmethod
    def of(cls, project: Project) -> Ratings:
        """The ratings of a project."""
        return cls.read(project.path / FILE)

    @classmethod
    def read(cls, path: Path) -> Ratings:
        """The ratings in a file; lines that are broken are passed over."""
        found = cls(path)
        if found.path.is_file():
            for number, line in enumerate(found.path.read_text(encoding="utf-8").split("\n"), 1):
                try:
                    found._take(json.loads(line), number)
                except (ValueError, KeyError, TypeError):
                    continue
        return found

    def show(self, kind: Kind, rater: str, item: Item, systems: tuple[str, ...]) -> Shown:
        """Write down what is shown, before it is."""
        texts = tuple(item.texts[name] for name in systems)
        one = Shown(secrets.token_hex(8), kind, item.id, item.origin, rater, systems, texts, item.prompt)
        self._write({
            "event": "shown", "id": one.id, "kind": kind, "item": item.id, "origin": item.origin, "rater": rater,
            "systems": list(systems), "texts": list(texts), "prompt": item.prompt, "time": time.time(),
        })  # fmt: skip
        return one

    def rate(self, ident: str, rating: Mapping[str, Any]) -> None:
        """Write a rating down."""
        self._write({"event": "rated", "id": ident, "rating": dict(rating), "time": time.time()})

    def rated(self, kind: Kind, rater: str | None = None) -> list[Shown]:
        """What was rated, in order."""
        return [one for one in self.shown.values()
                if one.kind == kind and one.rating is not None and rater in (None, one.rater)]  # fmt: skip

    def _take(self, data: dict[str, Any], number: int) -> None:
        if data["event"] == "shown":
            self.shown[data["id"]] = Shown(
                data["id"], data["kind"], data["item"], data["origin"], data["rater"], tuple(data["systems"]),
                tuple(data["texts"]), data["prompt"],
            )  # fmt: skip
        elif data["id"] in self.shown:
            one = self.shown[data["id"]]
            one.rating, one.line = data["rating"], number

    def _write(self, data: Mapping[str, Any]) -> None:
        line = json.dumps(data, ensure_ascii=False) + "\n"
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())


def items(project: Project, first: str, second: str) -> list[Item]:
    """What can be rated: answers of both systems (`base` or training jobs) to questions of sets, then to the sealed test."""
    return [*_asked(project, first, second), *_tested(project, first, second)]


def choose(
    found: list[Item], ratings: Ratings, kind: Kind, rater: str, systems: tuple[str, str]
) -> tuple[Item, tuple[str, ...]] | None:
    """The next item for a rater and the systems as they stand, drawn by lot; None when all was rated. Equal answers are not asked about."""
    lot = random.Random(secrets.randbits(64))
    mine = ratings.rated(kind, rater)
    seen = [one.item for one in mine]
    known = {item.id: item for item in found}
    if kind == "ab":
        fitting = [item for item in found if item.texts[systems[0]].strip() != item.texts[systems[1]].strip()]
        drawn: tuple[str, ...] = tuple(lot.sample(systems, 2))
    else:
        # Each answer is rated alone, so an item may come once for each system.
        seen = [f"{one.item} {one.systems[0]}" for one in mine]
        fitting, drawn = found, (lot.choice(systems),)
    again = [item for item in seen[:-APART] if Counter(seen)[item] == 1]
    if len(mine) % REPEATED == REPEATED - 1 and again:
        name, _, system = lot.choice(again).partition(" ")
        if name in known:
            return known[name], (system,) if system else drawn
    if kind == "span":
        left = [(item, (name,)) for item in fitting for name in systems if f"{item.id} {name}" not in seen]
        return lot.choice(left) if left else None
    fresh = next((item for item in _by_lot(fitting, rater) if item.id not in seen), None)
    return (fresh, drawn) if fresh else None


def summary(ratings: Ratings) -> dict[str, Any]:
    """What the ratings say: wins with intervals and exact sign tests, mean scores, agreement, and how many become preferences."""
    pairs: dict[tuple[str, str], list[Shown]] = defaultdict(list)
    for one in _once(ratings.rated("ab")):
        pairs[(min(one.systems), max(one.systems))].append(one)
    spans: dict[str, list[Shown]] = defaultdict(list)
    for one in _once(ratings.rated("span")):
        spans[one.systems[0]].append(one)
    ready = list(preferences(ratings))
    decided = [one for one in ratings.rated("ab") if _choice(one) != "tie"]
    left = sum(_choice(one) == "left" for one in decided)
    return {
        "ab": {
            "pairs": [_pair(names, shown) for names, shown in pairs.items()],
            "sides": {"left": left, "right": len(decided) - left, "p_value": sign_test(left, len(decided) - left)},
            "agreement": _agreement(ratings.rated("ab"), _value, agreement.nominal),
        },
        "span": {
            "systems": [_mean(name, shown) for name, shown in spans.items()],
            "agreement": _agreement(ratings.rated("span"), _score, agreement.interval),
        },
        "raters": dict(Counter(one.rater for one in ratings.shown.values() if one.rating is not None)),
        "preferences": {"ready": len(ready), "sealed": sum(one.origin == "test" for one in decided)},
    }  # fmt: skip


def preferences(ratings: Ratings) -> Iterator[dict[str, Any]]:
    """The decisions as preferences to train on, a record each. Those about the sealed test stay out: it would be learned."""
    for one in _once(ratings.rated("ab")):
        choice = _choice(one)
        if one.origin == "test" or choice == "tie":
            continue
        chosen, rejected = one.texts if choice == "left" else one.texts[::-1]
        systems = one.systems if choice == "left" else one.systems[::-1]
        meta = {"rater": one.rater, "item": one.item, "chosen_system": systems[0], "rejected_system": systems[1]}
        ident = record_id("rating", one.item, one.rater, chosen, rejected)
        yield to_json(Preference(ident, (Message("user", one.prompt),), chosen, rejected, f"{FILE}:{one.line}", meta))


def _tested(project: Project, first: str, second: str) -> Iterator[Item]:
    """Answers to the sealed test, of the newest evaluation that asked both."""
    for job, names in _evaluations(project, first, second):
        path = project.output(job) / "outputs.jsonl"
        found: dict[tuple[str, str], dict[str, Any]] = {}
        with path.open(encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                if row["system"] in names and row.get("text") is not None and row.get("source"):
                    found.setdefault((row["task"], row["id"]), {"row": row})[names[row["system"]]] = row["text"]
        for (task, ident), one in found.items():
            if first in one and second in one:
                row = one["row"]
                about = {
                    "task": task,
                    "direction": row["direction"],
                    "source": row["source"],
                    "reference": row["reference"],
                }
                yield Item(
                    f"test:{ident}",
                    "test",
                    about,
                    row.get("prompt") or row["source"],
                    {n: one[n] for n in (first, second)},
                )
        return


def _evaluations(project: Project, first: str, second: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Evaluations that asked both systems, newest first, with the names they have there."""
    for made in reversed(rows.artifacts(project.db, "scores")):
        model = rows.get(project.db, made["job"]).inputs.get("model")
        names = {"base": "base", "tuned": str(model)}
        if {first, second} <= set(names.values()) and (project.output(made["job"]) / "outputs.jsonl").is_file():
            yield made["job"], names


def _asked(project: Project, first: str, second: str) -> Iterator[Item]:
    """Answers to question sets, to each question the newest of each system: the sets may be asked by one job each."""
    sides: dict[str, dict[str, dict[str, Any]]] = {}
    for made in reversed(rows.artifacts(project.db, "grades")):
        model = rows.get(project.db, made["job"]).inputs.get("model")
        about = read_json(project.output(made["job"]) / "grades.json") or {}
        system = "base" if about.get("system") == "base" else str(model)
        path = project.output(made["job"]) / "answers.jsonl"
        if system in (first, second) and path.is_file():
            with path.open(encoding="utf-8") as lines:
                sides[system] = {row["id"]: row for row in map(json.loads, lines)} | sides.get(system, {})
    if set(sides) != {first, second}:
        return
    for ident, row in sides[first].items():
        other = sides[second].get(ident)
        if other is not None and other["question"] == row["question"]:
            about = {"task": row.get("task", "question"), "direction": "", "source": row["question"], "reference": ""}
            texts = {first: row["text"], second: other["text"]}
            yield Item(f"questions:{ident}", "questions", about, row["question"], texts)


def _by_lot(found: Iterable[Item], rater: str) -> list[Item]:
    """An order of a rater's own that stays: questions first, because their ratings can be learned from."""
    order = sorted(found, key=lambda item: item.id)
    random.Random(f"{rater}").shuffle(order)
    return sorted(order, key=lambda item: item.origin)


def _once(shown: list[Shown]) -> list[Shown]:
    """The first rating of each rater of each item: a repetition measures the rater and not the systems."""
    first: dict[tuple[str, ...], Shown] = {}
    for one in shown:
        key = (one.rater, one.item, *(sorted(one.systems)))
        first.setdefault(key, one)
    return list(first.values())


def _choice(one: Shown) -> str:
    return str((one.rating or {}).get("choice", "tie"))


def _value(one: Shown) -> float:
    """How the system whose name comes first did: 1 better, 0 worse, a half for a tie."""
    value = VALUES[_choice(one)]
    return value if one.systems[0] == min(one.systems) else 1.0 - value


def _score(one: Shown) -> float:
    return float((one.rating or {}).get("score", 0.0))


def _pair(names: tuple[str, str], shown: list[Shown]) -> dict[str, Any]:
    import numpy as np

    values = [_value(one) for one in shown]
    wins, losses = values.count(1.0), values.count(0.0)
    share, low, high = interval(np.column_stack([values, np.ones(len(values))]), ratio)
    return {
        "first": names[0], "second": names[1], "n": len(values), "wins": wins, "losses": losses, "ties": values.count(0.5),
        "share": share, "low": low, "high": high, "p_value": sign_test(wins, losses),
        "signature": "share of wins, ties half|bootstrap n:1000 rs:12345|exact sign test, two-sided, without ties",
    }  # fmt: skip


def _mean(system: str, shown: list[Shown]) -> dict[str, Any]:
    import numpy as np

    values = [_score(one) for one in shown]
    mean, low, high = interval(np.column_stack([values, np.ones(len(values))]), ratio)
    marked = Counter(span["severity"] for one in shown for span in (one.rating or {}).get("spans", ()))
    return {"system": system, "n": len(values), "mean": mean, "low": low, "high": high, "spans": dict(marked)}


def _agreement(shown: list[Shown], value: Any, distance: agreement.Distance) -> dict[str, Any]:
    """Of a rater with themselves, over what was repeated, and between raters, over what several rated."""
    own: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for one in shown:
        key = (one.rater, one.item, *sorted(one.systems))
        own[key].append(value(one))
    between: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for key, values in own.items():
        between[key[1:]].append(values[0])
    return {name: _told(units, distance) for name, units in (("self", own), ("between", between))}


def _told(units: Mapping[Any, list[float]], distance: agreement.Distance) -> dict[str, Any]:
    several = [values for values in units.values() if len(values) > 1]
    same = sum(len(set(values)) == 1 for values in several)
    apart = [max(values) - min(values) for values in several]
    return {
        "n": len(several), "same": same, "mean_difference": sum(apart) / len(apart) if apart else None,
        "alpha": agreement.alpha(several, distance),
    }  # fmt: skip
