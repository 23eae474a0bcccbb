"""Gather what the report tells from the artifacts an evaluation was made from: sources, ledgers, tokenizer, curve, versions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from endonym.data.dataset import Dataset
from endonym.types import from_json

STAGES = (("raw", "ingest"), ("clean", "clean"), ("aligned", "align"), ("split", "split"), ("chats", "compose"))
"""Artifact kinds with a ledger, in order, and the verb that makes each."""


@dataclass(frozen=True)
class Dropped:
    """One reason of one stage, with how often and one example."""

    stage: str
    reason: str
    count: int
    detail: str = ""
    texts: tuple[tuple[str, str], ...] = ()
    """`(language, text)` of one record dropped for this reason."""


@dataclass
class Facts:
    """Everything the page says besides scores. Parts that were never made stay empty."""

    sources: list[dict[str, Any]] = field(default_factory=list)
    stages: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    blocks: list[dict[str, Any]] = field(default_factory=list)
    divided: dict[str, int] = field(default_factory=dict)
    tokenizer: dict[str, Any] = field(default_factory=dict)
    tokenizer_svg: str = ""
    curve: list[dict[str, Any]] = field(default_factory=list)
    model: dict[str, Any] = field(default_factory=dict)
    provenance: list[tuple[str, str]] = field(default_factory=list)
    files: list[tuple[str, int]] = field(default_factory=list)
    diagnosis: dict[str, Any] = field(default_factory=dict)
    """Of this very model; empty where it was not diagnosed."""


def gather(
    ancestors: dict[str, Path],
    sources: list[dict[str, Any]],
    tokenizer: Path | None,
    export: Path | None,
    runs: Path,
    diagnosis: Path | None = None,
) -> Facts:
    """Read the ancestors of an evaluation; never opens the test split."""
    facts = Facts(sources=_sources(ancestors.get("raw"), sources))
    manifests = {kind: _json(folder / "manifest.json") for kind, folder in ancestors.items()}
    for kind, verb in STAGES:
        if manifests.get(kind):
            _stage(facts, verb, manifests[kind], ancestors[kind])
    facts.blocks = _blocks([manifests[kind] for kind, _ in STAGES[:4] if manifests.get(kind)])
    split = manifests.get("split") or {}
    facts.divided = {name: about["records"] for name, about in split.get("files", {}).items()}
    if tokenizer is not None and (tokenizer / "report.json").is_file():
        facts.tokenizer = _json(tokenizer / "report.json")
        facts.tokenizer_svg = (tokenizer / "report.svg").read_text(encoding="utf-8")
    if "model" in ancestors:
        _ledger(facts, "train", ancestors["model"])
        facts.model = _json(ancestors["model"] / "model.json")
        facts.curve = list(_rows(ancestors["model"] / "curve.jsonl"))
        found = _json(diagnosis / "diagnosis.json") if diagnosis is not None else {}
        if found and found["model"]["hash"] == _json(ancestors["model"].parent / "artifact.json").get("hash"):
            facts.diagnosis = found
    if export is not None:
        facts.files = sorted(
            (f"{export.relative_to(runs.parent).as_posix()}/{p.name}", p.stat().st_size)
            for p in export.iterdir()
            if p.is_file()
        )
    facts.provenance = _provenance(ancestors)
    return facts


def _sources(raw: Path | None, sources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The project's sources with the number of records each file gave."""
    counts: Counter[str] = Counter()
    if raw is not None:
        for record in Dataset(raw, "compare").records():
            counts[record.origin.rpartition(":")[0] or record.origin] += 1
    rows = []
    for source in sources:
        names = source["files"] if isinstance(source["files"], list) else [source["files"]]
        rows.append({**source, "files": names, "records": sum(counts[name] for name in names)})
    return rows


def _stage(facts: Facts, verb: str, manifest: dict[str, Any], folder: Path) -> None:
    kept = sum(about["records"] for about in manifest["files"].values())
    # Reading files makes records; what came in is what it made or could not use.
    read = manifest.get("read", 0) or kept + sum(manifest.get("dropped", {}).values())
    facts.stages.append({"verb": verb, "read": read, "kept": kept})
    _ledger(facts, verb, folder)


def _ledger(facts: Facts, verb: str, folder: Path) -> None:
    """Count the reasons of one stage's ledger and keep the first record of each as its example."""
    counts: Counter[str] = Counter()
    examples: dict[str, dict[str, Any]] = {}
    for row in _rows(folder / "ledger.jsonl"):
        counts[row["reason"]] += 1
        examples.setdefault(row["reason"], row)
    for reason, count in counts.most_common():
        row = examples[reason]
        # Rows passed over in training are known by their origin alone.
        texts = from_json(row["record"]).texts() if "record" in row else ()
        facts.dropped.append(Dropped(verb, reason, count, row["detail"], texts[-2:]))


def _blocks(manifests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Characters per Unicode block over all stages: in at the first, out at the last, dropped and changed between."""
    if not manifests:
        return []
    totals: dict[str, dict[str, int]] = {}
    for i, manifest in enumerate(manifests):
        for block, count in manifest.get("characters", {}).items():
            row = totals.setdefault(block, {"in": 0, "dropped": 0, "kept": 0})
            # The first stage counts as read what it could decode; readers that make records from files read nothing before.
            row["in"] += (count["in"] or count["kept"] + count["dropped"]) if i == 0 else 0
            row["dropped"] += count["dropped"]
            row["kept"] = count["kept"] if i == len(manifests) - 1 else row["kept"]
    rows = [
        {"block": block, **row, "changed": row["kept"] + row["dropped"] - row["in"]} for block, row in totals.items()
    ]
    return sorted(rows, key=lambda row: -row["in"])


def _provenance(ancestors: dict[str, Path]) -> list[tuple[str, str]]:
    """Hashes of the artifacts and versions of the packages that made the model."""
    rows = []
    for kind, folder in ancestors.items():
        record = _json(folder.parent / "artifact.json")
        if record:
            rows.append((f"{kind} (run {record['job']})", record["hash"]))
    newest = ancestors.get("model") or ancestors.get("scores")
    environment = _json(newest.parent / "environment.json") if newest else {}
    if environment:
        packages = environment.get("packages", {})
        names = ("endonym", "torch", "transformers", "peft", "tokenizers", "sacrebleu", "numpy")
        rows.append(("python", environment.get("python", "").split()[0]))
        rows += [(name, packages[name]) for name in names if name in packages]
        rows.append(("platform", environment.get("platform", "")))
    return rows


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Stream a JSONL file; nothing when it is not there."""
    if path.is_file():
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                if line.strip():
                    yield json.loads(line)
