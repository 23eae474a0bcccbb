"""How much planted noise cleaning finds, and how many clean pairs it loses, on real pairs in many languages.

    python benchmarks/noise.py PATH [--json]

PATH is a folder of tab-separated files (or one file) whose columns are named by language codes. Of every two languages, the pairs that
differ from one another are the clean ones. To them five kinds of noise are added, each a fifth as many: a side in another language,
boilerplate, OCR garbage, near-duplicates, shuffled pairs; so half of what is cleaned is noise. All pass the default filters with
their default settings. A pair that is dropped counts as found noise; of a pair and its near-duplicate either may stay.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from endonym import plugins
from endonym.clean.run import DEFAULT
from endonym.data.languages import known
from endonym.data.near_dup import clusters, normalise
from endonym.data.statistics import wilson
from endonym.types import Keep, Pair, record_id

KINDS = ("wrong_language", "boilerplate", "ocr", "near_duplicate", "shuffled")
LEAST, MOST = 400, 4000
Texts = tuple[str, str]

BOILERPLATE = (
    ("Copyright {n} {w}. All rights reserved.", "Copyright {n} {w}. Todos los derechos reservados."),
    ("Lorem ipsum dolor sit amet, consectetur adipiscing elit {n}", "Lorem ipsum dolor sit amet, consectetur {w}"),
    ("[response]", "{w} {n}"),
    ("TODO: {w} {n}", "TODO: {w}"),
    ("Publicado el {n} por {w} | Dejar un comentario", "Publicado el {n} por {w} | Dejar un comentario"),
    ("Page {n} of {n}. Go to the next page: {w}", "Page {n} of {n}. Go to the next page: {w}"),
    ("Hello {{{{name}}}}, your order number {n} has been sent", "{w} {{{{name}}}} {n}"),
    ("Haga clic aquí para leer más sobre {w}", "{w} - haga clic aquí"),
    ("<div class='item-{n}'>{w}</div>", "<div class='item-{n}'>{w}</div>"),
    ("The word number {n} of this list of words is {w}", "The word number {n} of this list of words is {w}"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one row a pair of languages and the sum of all; `--json` prints all numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sets", default="", help="Names of files to use, separated by commas; all when left out.")
    parser.add_argument(
        "--floor", type=float, default=None, help="Quality below which pairs go, in place of the default."
    )
    options = parser.parse_args(arguments)
    files = sorted(options.path.rglob("*.tsv")) if options.path.is_dir() else [options.path]
    by_language: dict[str, list[str]] = defaultdict(list)
    sets = []
    for path in files:
        for title, pairs in read(path, by_language):
            if not options.sets or title.split(":")[0] in options.sets.split(","):
                sets.append((title, pairs))
    rows = [measure(title, pairs, by_language, options.floor) for title, pairs in sets if len(pairs) >= LEAST]
    if not rows:
        print(f"error: no file in {options.path} has {LEAST} different pairs", file=sys.stderr)
        return 4
    rows.append(summed(rows))
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    print(
        f"{'set':<28}{'clean':>7}{'lost %':>8} (95 %)        F1     P     R   "
        + " ".join(f"{k[:10]:>10}" for k in KINDS)
        + "  CPU s"
    )
    for row in rows:
        low, high = row["lost_interval"]
        found = " ".join(f"{row['found'].get(kind, float('nan')):>10.3f}" for kind in KINDS)
        print(
            f"{row['set']:<28}{row['clean']:>7}{100 * row['lost']:>8.2f} ({100 * low:.2f}-{100 * high:.2f})"
            f"  {row['f1']:.3f} {row['precision']:.3f} {row['recall']:.3f}   {found}  {row['cpu_seconds']:.1f}"
        )
    return 0


def read(path: Path, by_language: dict[str, list[str]]) -> Iterator[tuple[str, list[tuple[str, str, str, str]]]]:
    """Pairs of a file's first language column with each other one: (texts, language codes); all its texts go to `by_language`."""
    csv.field_size_limit(10**8)
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    columns = [
        (i, name) for i, name in enumerate(rows[0]) if len(name) == 3 and (known(name) or name in ("aym", "mix"))
    ]
    for i, name in columns:
        by_language[name] += [row[i] for row in rows[1:] if len(row) > i and len(row[i]) > 20][:MOST]
    for j, other in columns[1:]:
        i, first = columns[0]
        found = [(row[i].strip(), row[j].strip(), first, other) for row in rows[1:] if len(row) > max(i, j)]
        yield f"{path.stem}:{first}-{other}", different(found)


def different(pairs: list[tuple[str, str, str, str]]) -> list[tuple[str, str, str, str]]:
    """Pairs with text on both sides, one of each group in which a side is the same or nearly so; the first MOST in random order."""
    good = [
        p
        for p in pairs
        if normalise(p[0]) and normalise(p[1]) and any(map(str.isalpha, p[0])) and any(map(str.isalpha, p[1]))
    ]
    random.Random(1).shuffle(good)
    seen = [clusters([p[side] for p in good], 0.7) for side in (0, 1)]
    return [
        p for i, p in enumerate(good) if seen[0][i] == i and seen[1][i] == i and normalise(p[0]) != normalise(p[1])
    ][:MOST]


def measure(
    title: str, pairs: Sequence[tuple[str, str, str, str]], by_language: Mapping[str, list[str]], floor: float | None
) -> dict[str, Any]:
    """Plant noise, clean, and count."""
    rng = random.Random(len(pairs))
    first, second = pairs[0][2:]
    clean: list[Texts] = [(a, b) for a, b, _, _ in pairs]
    rows: list[tuple[str, Texts, int]] = [("clean", texts, i) for i, texts in enumerate(clean)]
    others = {code: texts for code, texts in by_language.items() if code not in (first, second) and len(texts) >= 100}
    for kind in KINDS:
        for _ in range(len(clean) // 5):
            rows.append((kind, *planted(kind, clean, others, rng)))
    rng.shuffle(rows)
    records = {}
    for number, (kind, (a, b), original) in enumerate(rows):
        identity = record_id(title, str(number))
        records[identity] = (kind, original, Pair(identity, a, b, first, second, f"{kind}:{number}"))
    started = time.process_time()
    kept = cleaned([record for _, _, record in records.values()], floor)
    spent = time.process_time() - started
    return {"set": title, **counted(records, kept), "cpu_seconds": round(spent, 1)}


def cleaned(records: Sequence[Pair], floor: float | None) -> set[str]:
    """Ids of the records that the default filters keep."""
    stream: Any = iter(records)
    for name in DEFAULT:
        module = plugins.load("filter", name)
        settings = {"floor": floor} if name == "quality" and floor is not None else {}
        stream = (item.record for item in module.sift(stream, module.Config(**settings)) if isinstance(item, Keep))
    return {record.id for record in stream}


def counted(records: Mapping[str, tuple[str, int, Pair]], kept: set[str]) -> dict[str, Any]:
    """Clean pairs lost, noise found by kind, precision, recall and F1 of dropping."""
    stays = {
        original for identity, (kind, original, _) in records.items() if kind == "near_duplicate" and identity in kept
    }
    totals: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    gone = {original for identity, (kind, original, _) in records.items() if kind == "clean" and identity not in kept}
    for identity, (kind, original, _) in records.items():
        totals[kind] += 1
        # Where the copy stays and the original goes, it is the copy's place that was cleaned.
        swapped = original in gone and original in stays
        if kind == "clean":
            dropped[kind] += identity not in kept and not swapped
        elif kind == "near_duplicate":
            dropped[kind] += identity not in kept or swapped
        else:
            dropped[kind] += identity not in kept
    return scores(totals, dropped)


def scores(totals: Counter[str], dropped: Counter[str]) -> dict[str, Any]:
    """What the counts say."""
    lost, found = dropped["clean"], sum(dropped[kind] for kind in KINDS)
    noise = sum(totals[kind] for kind in KINDS)
    precision, recall = found / max(1, found + lost), found / max(1, noise)
    return {
        "clean": totals["clean"], "lost": lost / totals["clean"], "lost_interval": wilson(lost, totals["clean"]),
        "precision": precision, "recall": recall, "f1": 2 * precision * recall / max(1e-9, precision + recall),
        "found": {kind: dropped[kind] / totals[kind] for kind in KINDS if totals[kind]},
        "totals": dict(totals), "dropped": dict(dropped),
    }  # fmt: skip


def summed(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All sets together."""
    totals: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for row in rows:
        totals.update(row["totals"])
        dropped.update(row["dropped"])
    return {"set": "all", **scores(totals, dropped), "cpu_seconds": round(sum(row["cpu_seconds"] for row in rows), 1)}


def planted(
    kind: str, clean: Sequence[Texts], others: Mapping[str, list[str]], rng: random.Random
) -> tuple[Texts, int]:
    """One noisy pair, and the number of the clean pair it was made from."""
    i = rng.randrange(len(clean))
    a, b = clean[i]
    if kind == "shuffled":
        j = (i + 1 + rng.randrange(len(clean) - 1)) % len(clean)
        return (a, clean[j][1]), -1
    if kind == "wrong_language":
        if not others or rng.random() < 0.25:
            j = (i + 1 + rng.randrange(len(clean) - 1)) % len(clean)
            return (a, clean[j][0]), -1
        wrong = rng.choice(others[rng.choice(sorted(others))])
        return ((a, wrong) if rng.random() < 0.7 else (wrong, b)), -1
    if kind == "boilerplate":
        words = [rng.choice(clean)[side].split() for side in (0, 1)]
        form = rng.choice(BOILERPLATE)
        made = [text.format(n=rng.randrange(1, 3000), w=rng.choice(words[side])) for side, text in enumerate(form)]
        return ((made[0], made[1]) if rng.random() < 0.7 else (made[0], b)), -1
    if kind == "ocr":
        return ((a, garbled(b, rng)) if rng.random() < 0.5 else (garbled(a, rng), garbled(b, rng))), -1
    while min(len(normalise(a)), len(normalise(b))) < 30:
        i = rng.randrange(len(clean))
        a, b = clean[i]
    return (nearly(a, rng), nearly(b, rng)), i


def garbled(text: str, rng: random.Random) -> str:
    """What OCR makes of a page in the wrong script or of a bad scan: a third to a half of the letters are others or signs."""
    rate = rng.uniform(0.3, 0.5)
    found = []
    for char in text:
        if rng.random() >= rate:
            found.append(char)
        elif rng.random() < 0.4:
            found.append(rng.choice("|!¡/\\[]{}()~^*_-=+<>«»°§¢£¬;:,.'\"0123456789"))
        elif rng.random() < 0.5 and char.isalpha():
            found.append(chr(ord(char) + rng.choice((-7, -3, -2, -1, 1, 2, 3, 7))))
        else:
            found.append(rng.choice(("", " ", "rn", "li", "vv", char.swapcase(), "I", "l")))
    return "".join(c for c in found if c.isprintable())


def nearly(text: str, rng: random.Random) -> str:
    """The text with another case or other marks and, where it is long enough for that to be little, a letter changed."""
    made = text.rstrip(" .!?።।") + rng.choice(("", ".", "!", " ...", "…"))
    if rng.random() < 0.3:
        made = made.upper()
    letters = len(normalise(made))
    for _ in range(min(3, letters // 75)):
        place = rng.randrange(len(made))
        made = made[:place] + rng.choice(made) + made[place + 1 :]
    return made if made != text else text + "!"


if __name__ == "__main__":
    sys.exit(main())
