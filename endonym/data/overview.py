"""What a project's data are at every stage there is: counts, lengths, scripts, quality, repeats, drops, and what the dictionary covers.

The test split is never opened; of a split dataset, `train` and `valid` are looked at.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.data.dataset import Dataset
from endonym.data.leaks import headword_key
from endonym.data.lexicon import words
from endonym.data.quality import BANDS, band
from endonym.data.scripts import dominant_script
from endonym.errors import MissingError
from endonym.types import Chat, Entry, Record

if TYPE_CHECKING:
    from endonym.project import Project

STAGES = (("raw", "ingest"), ("clean", "clean"), ("aligned", "align"), ("split", "split"), ("chats", "compose"))
"""Kinds of artifacts that are datasets, in order, and the verb that makes each."""
LENGTHS = (5, 10, 20, 40, 80, 160, 320, 640, 1280)
"""Characters at which the bins of the length distribution end."""
SHOWN = 6


@dataclass
class Overview:
    """Everything the page, the command and the notebook show, as plain data."""

    stages: list[dict[str, Any]] = field(default_factory=list)
    looked_at: str = ""
    """The stage whose records are described."""
    records: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    tasks: dict[str, int] = field(default_factory=dict)
    sources: dict[str, dict[str, int]] = field(default_factory=dict)
    """Records, and those in each band of quality, by file."""
    scripts: dict[str, dict[str, int]] = field(default_factory=dict)
    """Texts by language and script."""
    bands: dict[str, int] = field(default_factory=dict)
    lengths: dict[str, list[int]] = field(default_factory=dict)
    """Texts by language in the bins of LENGTHS, and one for what is longer."""
    parts: dict[str, list[float]] = field(default_factory=dict)
    """Of each part of the quality: its mean, and the share of records for which it is the worst."""
    samples: list[dict[str, Any]] = field(default_factory=list)
    worst: list[dict[str, Any]] = field(default_factory=list)
    repeats: dict[str, Any] = field(default_factory=dict)
    drops: list[dict[str, Any]] = field(default_factory=list)
    blocks: list[dict[str, Any]] = field(default_factory=list)
    coverage: list[dict[str, Any]] = field(default_factory=list)


def describe(project: Project, stage: str = "", seed: int = 0) -> Overview:
    """Look at the newest dataset of every stage, and closely at the last one before chats (or at `stage`, an artifact kind).

    Raises MissingError when there is no dataset yet.
    """
    folders = {kind: folder for kind, _ in STAGES if (folder := project.newest(kind)) is not None}
    known = [kind for kind in folders if kind != "chats"]
    if not known or (stage and stage not in folders):
        raise MissingError("there are no data to look at yet", "Read the sources with: endonym ingest (or endonym run)")
    chosen = stage or known[-1]
    view = Overview(looked_at=chosen)
    for kind, verb in STAGES:
        if kind in folders:
            _stage(view, kind, verb, Dataset(folders[kind], "data"))
    view.blocks = _blocks([Dataset(folders[kind], "data").manifest for kind in known])
    if "chats" in folders:
        view.tasks = dict(Counter(r.task for r in _records(Dataset(folders["chats"], "data")) if isinstance(r, Chat)))
    _look(view, Dataset(folders[chosen], "data"), random.Random(seed or project.seed))
    return view


def _records(data: Dataset) -> Iterator[Record]:
    """Records of a dataset, those of a sealed test left out."""
    for split in data.splits:
        if split != "test":
            yield from data.records(None if split == "records" else split)


def _stage(view: Overview, kind: str, verb: str, data: Dataset) -> None:
    kept = sum(about["records"] for about in data.manifest["files"].values())
    dropped = data.manifest.get("dropped", {})
    view.stages.append(
        {"kind": kind, "verb": verb, "read": data.manifest.get("read") or kept + sum(dropped.values()), "kept": kept,
         "splits": {name: about["records"] for name, about in data.manifest["files"].items() if name != "records"}}
    )  # fmt: skip
    examples = data.manifest.get("dropped_examples", {})
    for reason, count in dropped.items():
        # What is dropped by split may be a record of the test: its text stays sealed.
        shown = [] if verb == "split" else examples.get(reason, [])[:3]
        view.drops.append({"verb": verb, "reason": reason, "count": count, "examples": shown})


def _blocks(manifests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Characters per Unicode block: in at the first stage, dropped on the way, kept at the last."""
    found: dict[str, dict[str, int]] = {}
    for i, manifest in enumerate(manifests):
        for block, row in manifest.get("characters", {}).items():
            total = found.setdefault(block, {"in": 0, "dropped": 0, "kept": 0})
            if i == 0:
                total["in"] = row["in"] or row["kept"] + row["dropped"]
            total["dropped"] += row["dropped"]
            if i == len(manifests) - 1:
                total["kept"] = row["kept"]
    rows = [{"block": name, **row, "changed": row["kept"] + row["dropped"] - row["in"]} for name, row in found.items()]
    return sorted(rows, key=lambda row: -row["in"])


def _look(view: Overview, data: Dataset, rng: random.Random) -> None:
    """One pass over the records of a dataset."""
    kinds: Counter[str] = Counter()
    bands: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    lowest: Counter[str] = Counter()
    repeats: Counter[str] = Counter()
    clusters: Counter[str] = Counter()
    tokens: dict[str, Counter[str]] = {}
    headwords: dict[str, set[str]] = {}
    worst: list[tuple[float, int, Record]] = []
    chosen: dict[str, list[Record]] = {}
    for number, record in enumerate(_records(data)):
        kinds[record.kind] += 1
        name, quality = band(record), record.meta.get("quality", {})
        source = view.sources.setdefault(record.origin.rpartition(":")[0] or record.origin, {"records": 0})
        source["records"] += 1
        if name:
            bands[name] += 1
            source[name] = source.get(name, 0) + 1
            sums.update(quality["parts"])
            if quality["parts"] and quality["total"] < BANDS[0][0]:
                lowest[min(quality["parts"], key=quality["parts"].get)] += 1
            worst = (
                sorted([*worst, (quality["total"], number, record)])[:SHOWN]
                if _among(worst, quality["total"])
                else worst
            )
        repeats["records"] += bool(record.meta.get("repeats"))
        repeats["left out"] += int(record.meta.get("repeats", 0))
        repeats["in another source"] += bool(record.meta.get("also_in"))
        clusters.update(record.meta.get("clusters", ()))
        for code, text in record.texts():
            _text(view, code, text)
            if not isinstance(record, Entry):
                tokens.setdefault(code, Counter()).update(words(text.casefold()))
        if isinstance(record, Entry):
            headwords.setdefault(record.language, set()).update(_forms(record.headword))
        _reservoir(chosen.setdefault(record.kind, []), record, kinds[record.kind], rng)
    view.records, view.kinds = sum(kinds.values()), dict(kinds)
    view.bands = {name: bands[name] for _, name in BANDS if bands}
    measured = max(1, sum(bands.values()))
    view.parts = {part: [round(total / measured, 3), round(lowest[part] / measured, 3)] for part, total in sums.items()}
    view.samples = [_shown(record) for own in chosen.values() for record in own]
    view.worst = [_shown(record) for total, _, record in worst if total < BANDS[0][0]]
    several = {name: size for name, size in clusters.items() if size > 1}
    view.repeats = {**repeats, "clusters": len(several), "largest cluster": max(several.values(), default=0)}
    view.coverage = [_covered(code, tokens[code], headwords[code]) for code in headwords if tokens.get(code)]


def _among(worst: list[tuple[float, int, Record]], total: float) -> bool:
    return len(worst) < SHOWN or total < worst[-1][0]


def _text(view: Overview, code: str, text: str) -> None:
    scripts = view.scripts.setdefault(code, {})
    script = dominant_script(text)
    scripts[script] = scripts.get(script, 0) + 1
    bins = view.lengths.setdefault(code, [0] * (len(LENGTHS) + 1))
    bins[next((i for i, end in enumerate(LENGTHS) if len(text) <= end), len(LENGTHS))] += 1


def _reservoir(own: list[Record], record: Record, number: int, rng: random.Random) -> None:
    """Keep SHOWN of all, each as likely as any other (Vitter's algorithm R, 1985)."""
    if len(own) < SHOWN:
        own.append(record)
    elif (place := rng.randrange(number)) < SHOWN:
        own[place] = record


def _shown(record: Record) -> dict[str, Any]:
    return {
        "kind": record.kind, "origin": record.origin, "texts": [list(pair) for pair in record.texts()],
        "quality": record.meta.get("quality", {}),
    }  # fmt: skip


def _forms(headword: str) -> set[str]:
    return {headword_key(headword), *(word.casefold() for word in words(headword.casefold()))}


def _covered(code: str, tokens: Counter[str], headwords: set[str]) -> dict[str, Any]:
    """How much of the running text the dictionary has: as it stands, and as a form that begins with a headword of four letters or more."""
    beginnings = {headword for headword in headwords if len(headword) >= 4}
    exact = Counter({word: n for word, n in tokens.items() if word in headwords})
    rest = {word: n for word, n in tokens.items() if word not in headwords and any(map(str.isalpha, word))}
    begun = {w: n for w, n in rest.items() if any(w[:k] in beginnings for k in range(4, len(w)))}
    missing = Counter({word: n for word, n in rest.items() if word not in begun and not word[0].isdigit()})
    total = max(1, sum(tokens.values()))
    return {
        "language": code, "headwords": len(headwords), "words": sum(tokens.values()), "exact": sum(exact.values()) / total,
        "beginning": sum(begun.values()) / total, "missing": missing.most_common(20),
    }  # fmt: skip


def write(view: Overview, path: Path) -> None:
    """Write the overview as JSON."""
    path.write_text(json.dumps(vars(view), ensure_ascii=False, indent=1), encoding="utf-8")
