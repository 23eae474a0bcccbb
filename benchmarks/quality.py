"""Rank correlation of the quality of pairs with the judgement of people, beside length ratio and length alone.

    python benchmarks/quality.py PATH [--json]

PATH is a table of judged pairs: tab-separated, with a column `correctness_unified` (or `correctness`) of A exact, B and C one side says
more, D no match, and the two texts in columns named by their languages' codes (`gn`, `es`). The lexicon and all else are learned from the
pairs themselves, without the judgements, and from `--more FILE`, pairs of the same languages, where given.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from endonym.clean.filters import quality
from endonym.data.languages import known, language
from endonym.data.statistics import RESAMPLES, SEED
from endonym.types import Keep, Pair, record_id

POINTS = {"A": 3.0, "B": 2.0, "C": 2.0, "D": 0.0}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one row a measure; `--json` prints all numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path", type=Path)
    parser.add_argument(
        "--more", type=Path, action="append", default=[], help="Pairs without judgements to learn from too."
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    judged, points = read(options.path)
    codes = (judged[0].source_language, judged[0].target_language)
    more = [pair for path in options.more for pair in read(path)[0]]
    more = [turned(pair, codes) for pair in more if {pair.source_language, pair.target_language} == set(codes)]
    texts = {(pair.source, pair.target) for pair in judged}
    more = [pair for pair in more if (pair.source, pair.target) not in texts]
    measured = {item.record.id: item.record.meta["quality"] for item in sift([*judged, *more])}
    rows = [row(name, values, points) for name, values in signals(judged, measured).items()]
    if options.json:
        print(json.dumps({"judged": len(judged), "more": len(more), "rows": rows}, indent=1))
        return 0
    print(f"{len(judged)} judged pairs, {len(more)} more to learn from\n{'measure':<16}{'Spearman':>9}   95 %")
    for found in rows:
        print(f"{found['measure']:<16}{found['spearman']:>9.3f}   {found['low']:.3f} to {found['high']:.3f}")
    return 0


def sift(pairs: Sequence[Pair]) -> list[Keep]:
    """All pairs with their quality; none dropped."""
    return [item for item in quality.sift(iter(pairs), quality.Config(floor=0)) if isinstance(item, Keep)]


def signals(judged: Sequence[Pair], measured: dict[str, dict[str, Any]]) -> dict[str, np.ndarray]:
    """What is compared with the judgements."""
    ratios = np.array([np.log((len(p.target) + 10) / (len(p.source) + 10)) for p in judged])
    adequacy = [measured[p.id]["parts"].get("adequacy", 1.0) for p in judged]
    return {
        "quality": np.array([measured[p.id]["total"] for p in judged]), "adequacy": np.array(adequacy),
        "length ratio": -np.abs(ratios - np.median(ratios)), "length": -np.array([len(p.source) + len(p.target) for p in judged]),
    }  # fmt: skip


def row(name: str, values: np.ndarray, points: np.ndarray) -> dict[str, Any]:
    """Spearman's rank correlation with its percentile bootstrap interval over pairs."""
    rng = np.random.default_rng(SEED)
    drawn = [rng.integers(0, len(points), len(points)) for _ in range(RESAMPLES)]
    low, high = np.nanpercentile([spearman(values[i], points[i]) for i in drawn], [2.5, 97.5])
    return {"measure": name, "spearman": spearman(values, points), "low": float(low), "high": float(high)}


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of ranks, equal values sharing theirs (Spearman 1904)."""
    return float(np.corrcoef(ranked(first), ranked(second))[0, 1])


def ranked(values: np.ndarray) -> np.ndarray:
    """Ranks from 0, ties at their middle."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[place]


def read(path: Path) -> tuple[list[Pair], np.ndarray]:
    """Pairs of a table and their judgements, 3 for the best; NaN-free only where the table has judgements."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    names = [name for name in rows[0] if len(name) in (2, 3) and known(name)][:2]
    codes = [language(name).code for name in names]
    label = next((name for name in ("correctness_unified", "correctness") if name in rows[0]), "")
    good = [row for row in rows if row[names[0]] and row[names[1]] and (not label or row[label] in POINTS)]
    pairs = [
        Pair(record_id(str(i), row[names[0]], row[names[1]]), row[names[0]].strip(), row[names[1]].strip(), *codes, f"{path.name}:{i + 2}")
        for i, row in enumerate(good)
    ]  # fmt: skip
    return pairs, np.array([POINTS[row[label]] for row in good] if label else [])


def turned(pair: Pair, codes: tuple[str, str]) -> Pair:
    """The pair with its sides in the order of `codes`."""
    return Pair(pair.id, pair.text(codes[0]), pair.text(codes[1]), *codes, pair.origin)


if __name__ == "__main__":
    sys.exit(main())
