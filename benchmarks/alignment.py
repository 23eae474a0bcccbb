"""Precision, recall and F1 of every aligner and its peers on gold alignments, strict and lax, counted as vecalign counts them.

    python benchmarks/alignment.py PATH [--aligners length,lexicon] [--hunalign PATH] [--json]

PATH holds data sets: a folder with `NAME.SOURCE`, `NAME.TARGET` and `NAME.SOURCETARGET` (sentences one a line, and gold), or one
with three folders `SOURCE/`, `TARGET/` and `gold/` of files of one name. Gold lines are `[source numbers]:[target numbers]`.

Counting follows Thompson and Koehn, Vecalign (EMNLP 2019), after Sennrich and Volk, Iterative, MT-based Sentence Alignment of
Parallel Texts (NODALIDA 2011): strict takes only equal beads, lax any bead that shares a link with a gold bead. Precision counts
unaligned sentences as beads, recall leaves them out.

Our aligners see the documents of a set together, as in a project; peers see each by itself. A system that is not there is a row
that says why. Seconds are processor time, that of processes started included.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from endonym import plugins
from endonym.errors import EndonymError
from endonym.types import Link

Bead = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Document:
    """Two texts and how they correspond."""

    name: str
    source: list[str]
    target: list[str]
    gold: list[Bead]


System = Callable[[Sequence[Document]], list[list[Link]]]
PUBLISHED = {
    "vecalign": "not run; with LASER its README says 0.902 strict, 0.986 lax on German-French",
    "SentAlign": "not run; with LaBSE its README says 0.932 strict, 0.964 lax on German-French",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one row a data set and aligner; `--json` prints all numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--aligners", default="", help="Names separated by commas; all, and the peers, when left out.")
    parser.add_argument("--hunalign", type=Path, help="The program hunalign, built from its repository.")
    options = parser.parse_args(arguments)
    sets = dict(read_sets(options.path))
    if not sets:
        print(f"error: no gold alignments in {options.path}", file=sys.stderr)
        return 4
    names = options.aligners.split(",") if options.aligners else [*plugins.available("aligner"), *PEERS, *PUBLISHED]
    rows = [row for name in names for row in measure(name, sets, options.hunalign)]
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    print(
        f"{'set':<14}{'aligner':<12}{'gold':>5}   strict P / R / F1        lax P / R / F1           AUROC    off  seconds"
    )
    for row in rows:
        if "reason" in row:
            print(f"{'':<14}{row['aligner']:<12}{'':>5}   {row['reason']}")
            continue
        strict, lax = (" / ".join(f"{row[k][n]:.3f}" for n in ("precision", "recall", "f1")) for k in ("strict", "lax"))
        sure = "  ".join("    -" if row[k] is None else f"{row[k]:.3f}" for k in ("auroc", "off"))
        print(
            f"{row['set']:<14}{row['aligner']:<12}{row['gold']:>5}   {strict}    {lax}    {sure}  {row['seconds']:7.2f}"
        )
    return 0


def measure(name: str, sets: dict[str, list[Document]], hunalign: Path | None = None) -> Iterator[dict]:
    """Run one system on every set; of one that is not there, the reason."""
    try:
        align = system(name, hunalign)
    except (EndonymError, ImportError) as problem:
        yield {"aligner": name, "reason": ": ".join(filter(None, (str(problem), getattr(problem, "hint", ""))))}
        return
    for title, documents in sets.items():
        started = sum(os.times()[:4])
        found = align(documents)
        seconds = sum(os.times()[:4]) - started
        beads = [[(link.source, link.target) for link in links] for links in found]
        judged = [
            (link.confidence, (link.source, link.target) in set(d.gold))
            for d, links in zip(documents, found) for link in links if link.source and link.target
        ]  # fmt: skip
        sure = (None, None) if name in PEERS else (auroc(judged), off(judged))
        yield {
            "set": title, "aligner": name, "gold": sum(bool(s and t) for d in documents for s, t in d.gold),
            **score([d.gold for d in documents], beads), **dict(zip(("auroc", "off"), sure)), "seconds": round(seconds, 2),
        }  # fmt: skip


def system(name: str, hunalign: Path | None) -> System:
    """The function that aligns by this name; ImportError or EndonymError where it is not there."""
    if name in PUBLISHED:
        raise ImportError(PUBLISHED[name])
    return PEERS[name](hunalign) if name in PEERS else together(name)


def galechurch_of(_: Path | None) -> System:
    """Gale and Church as the package `galechurch` has it."""
    try:
        import galechurch
    except ImportError:
        raise ImportError("not there: pip install galechurch") from None

    def align(documents: Sequence[Document]) -> list[list[Link]]:
        return [
            [
                Link(tuple(range(b.source_start, b.source_end)), tuple(range(b.target_start, b.target_end)), 1.0)
                for b in galechurch.align(d.source, d.target).beads
            ]
            for d in documents
        ]

    return align


def hunalign_of(program: Path | None) -> System:
    """The program hunalign without a dictionary; it prints a ladder of positions that correspond, and leaves a file where it runs."""
    if program is None or not program.is_file():
        raise ImportError("not there: build it from its repository and give its place with --hunalign")

    def align(documents: Sequence[Document]) -> list[list[Link]]:
        found = []
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder, name) for name in ("none.dic", "source.txt", "target.txt")]
            files[0].touch()
            for document in documents:
                for file, side in zip(files[1:], (document.source, document.target)):
                    file.write_text("".join(f"{line}\n" for line in side), encoding="utf-8")
                printed = subprocess.run(
                    [program.resolve(), *files], cwd=folder, capture_output=True, check=True
                ).stdout.decode()
                rungs = [tuple(map(int, line.split("\t")[:2])) for line in printed.splitlines()]
                found.append([Link(tuple(range(i, k)), tuple(range(j, m)), 1.0) for (i, j), (k, m) in pairwise(rungs)])
        return found

    return align


PEERS = {"galechurch": galechurch_of, "hunalign": hunalign_of}


def together(name: str) -> System:
    """An aligner of ours, given the documents one after the other as one text, as the stage `align` does with a project's."""
    module = plugins.load("aligner", name)

    def align(documents: Sequence[Document]) -> list[list[Link]]:
        source, target = ([s for d in documents for s in side(d)] for side in (lambda d: d.source, lambda d: d.target))
        ends = [
            (sum(len(d.source) for d in documents[:k]), sum(len(d.target) for d in documents[:k]))
            for k in range(len(documents) + 1)
        ]
        found: list[list[Link]] = [[] for _ in documents]
        at, number = (0, 0), 0
        for link in module.align(source, target, module.Config(), anchors=ends[1:-1]):
            while at == ends[number + 1]:
                number += 1
            i, j = ends[number]
            places = tuple(a - i for a in link.source), tuple(b - j for b in link.target)
            found[number].append(Link(*places, link.confidence))
            at = at[0] + len(link.source), at[1] + len(link.target)
        return found

    return align


def score(gold: Sequence[Sequence[Bead]], found: Sequence[Sequence[Bead]]) -> dict[str, dict[str, float]]:
    """Strict and lax precision, recall and F1 over several documents."""
    precision: Counter[str] = Counter()
    recall: Counter[str] = Counter()
    for right, guess in zip(gold, found):
        precision += _hits(right, guess)
        recall += _hits([b for b in guess if b[0] and b[1]], [b for b in right if b[0] and b[1]])
    scores = {}
    for kind in ("strict", "lax"):
        p = precision[kind] / precision["all"] if precision["all"] else 0.0
        r = recall[kind] / recall["all"] if recall["all"] else 0.0
        scores[kind] = {"precision": p, "recall": r, "f1": 2 * p * r / (p + r) if p + r else 0.0}
    return scores


def _hits(right: Sequence[Bead], guess: Sequence[Bead]) -> Counter[str]:
    """How many different beads of `guess` there are, are in `right`, or share a link with one there."""
    beads = {b for b in right if b[0] or b[1]}
    links = {(i, j) for s, t in beads for i in s for j in t}
    counts: Counter[str] = Counter()
    for bead in {b for b in guess if b[0] or b[1]}:
        strict = bead in beads
        counts["all"] += 1
        counts["strict"] += strict
        counts["lax"] += strict or any((i, j) in links for i in bead[0] for j in bead[1])
    return counts


def auroc(judged: Sequence[tuple[float, bool]]) -> float:
    """Chance that a right link has a higher confidence than a wrong one; a tie counts half."""
    right = [c for c, ok in judged if ok]
    wrong = [c for c, ok in judged if not ok]
    if not right or not wrong:
        return float("nan")
    return sum((a > b) + 0.5 * (a == b) for a in right for b in wrong) / (len(right) * len(wrong))


def off(judged: Sequence[tuple[float, bool]], bins: int = 10) -> float:
    """Mean distance of the confidence of links from the share of them that is right, in bins of confidence (expected calibration
    error; Guo, Pleiss, Sun and Weinberger, ICML 2017)."""
    sums = [[0.0, 0.0] for _ in range(bins)]
    for confidence, ok in judged:
        place = sums[min(bins - 1, int(confidence * bins))]
        place[0] += confidence
        place[1] += ok
    return sum(abs(a - b) for a, b in sums) / max(1, len(judged))


def read_sets(path: Path) -> Iterator[tuple[str, list[Document]]]:
    """Data sets under `path`; `dev` and the rest of a set are told apart, since settings may be chosen on `dev` only."""
    for folder in sorted(p for p in path.iterdir() if p.is_dir()):
        documents = list(_by_suffix(folder)) + list(_by_folder(folder))
        for title, wanted in ((f"{folder.name}-dev", True), (folder.name, False)):
            chosen = [d for d in documents if d.name.startswith("dev") == wanted]
            if chosen:
                yield title, chosen


def _by_suffix(folder: Path) -> Iterator[Document]:
    for gold in sorted(folder.glob("*.*")):
        suffix = gold.suffix[1:]
        half = len(suffix) // 2
        source, target = gold.with_suffix("." + suffix[:half]), gold.with_suffix("." + suffix[half:])
        if len(suffix) in (4, 6) and source.is_file() and target.is_file():
            yield Document(gold.stem, _lines(source), _lines(target), _gold(gold))


def _by_folder(folder: Path) -> Iterator[Document]:
    sides = sorted(p for p in folder.iterdir() if p.is_dir() and p.name != "gold")
    if (folder / "gold").is_dir() and len(sides) == 2:
        for gold in sorted((folder / "gold").iterdir()):
            yield Document(gold.stem, _lines(sides[0] / gold.name), _lines(sides[1] / gold.name), _gold(gold))


def _lines(path: Path) -> list[str]:
    """Sentences, without the line numbers some sets carry."""
    lines = path.read_text(encoding="utf-8").split("\n")
    if lines and not lines[-1]:
        lines.pop()
    numbered = bool(lines) and all(re.match(rf"{i}\t", line) for i, line in enumerate(lines) if line)
    return [line.partition("\t")[2] if numbered else line for line in lines]


def _gold(path: Path) -> list[Bead]:
    beads = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if ":" in line:
            source, target = (tuple(int(n) for n in re.findall(r"\d+", side)) for side in line.split(":")[:2])
            beads.append((source, target))
    return beads


if __name__ == "__main__":
    sys.exit(main())
