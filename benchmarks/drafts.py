"""chrF++ of what hints alone give on sentence pairs: the nearest pair, word by word, and phrase by phrase.

    python benchmarks/drafts.py FILE.tsv --columns eng amh [--train 4000] [--test 200] [--json]

FILE is a table with a header, tab-separated, that has both columns. Rows are shuffled with a fixed seed; a text whose source or
target is also in the other part is left out of the test.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import sacrebleu

from endonym.retrieve import hints
from endonym.types import Pair

Translate = Callable[[str, str, str], str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one row a direction; `--json` prints all numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--columns", nargs=2, required=True, metavar="COLUMN")
    parser.add_argument("--train", type=int, default=4000)
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    csv.field_size_limit(1 << 30)
    with options.path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        if missing := set(options.columns) - set(table.fieldnames or ()):
            print(f"error: {options.path} has no column {sorted(missing)}, only {table.fieldnames}", file=sys.stderr)
            return 4
        texts = [(row[options.columns[0]] or "", row[options.columns[1]] or "") for row in table]
    rows = measure(texts, tuple(options.columns), options.train, options.test)
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        scores = "  ".join(
            f"{name} {row[name]:5.2f} ({row['milliseconds'][name]:.1f} ms)" for name in row["milliseconds"]
        )
        print(f"{row['direction']}  {row['train']} training pairs, {row['test']} sentences: {scores}")
    return 0


def measure(texts: list[tuple[str, str]], columns: tuple[str, ...], train: int, test: int) -> list[dict]:
    """Scores of every kind of draft in both directions."""
    rows = [(a, b) for a, b in dict.fromkeys(texts) if a and b]
    random.Random(20).shuffle(rows)
    known, asked = rows[test : test + train], rows[:test]
    sources, targets = {a for a, _ in known}, {b for _, b in known}
    asked = [(a, b) for a, b in asked if a not in sources and b not in targets]
    pairs = [Pair(str(i), a, b, *columns, "x") for i, (a, b) in enumerate(known)]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        hinter = hints.build(pairs, Path(folder))

        def nearest(text: str, source: str, target: str) -> str:
            near = hinter.memory.search(text, source, target)
            return near[0][2] if near else ""

        ways: dict[str, Translate] = {"memory": nearest, "words": hinter.words.draft, "phrases": hinter.phrases.draft}
        for side in (0, 1):
            source, target = columns[side], columns[1 - side]
            scores: dict[str, float] = {}
            spent: dict[str, float] = {}
            for name, translate in ways.items():
                translate("", source, target)
                begun = time.perf_counter()
                answers = [translate(row[side], source, target) for row in asked]
                spent[name] = 1000 * (time.perf_counter() - begun) / max(1, len(asked))
                references = [[row[1 - side] for row in asked]]
                scores[name] = sacrebleu.corpus_chrf(answers, references, word_order=2).score
            sizes = {"direction": f"{source}>{target}", "train": len(known), "test": len(asked)}
            found.append({**sizes, **scores, "milliseconds": spent})
    return found


if __name__ == "__main__":
    sys.exit(main())
