"""Macro-F1 of language identification at full length, 40 and 20 characters, and how well languages never seen are refused.

    python benchmarks/language_id.py PATH [--lines 200] [--json]

PATH is searched for text: tables whose columns are named by language codes (`.tsv`), lists of records with a language (`.jsonl` with
`lang` and `paragraphs`, or `lines` of texts by code), and dictionary examples (`examples.csv`). A column or file is a source; a column `document`
or `source` divides it further. Each language is learned from `--lines` lines and tested on others, in two ways: "mixed" draws both from all
sources of the language (near-duplicates of training lines are left out), "apart" tests on sources nothing was learned from. Languages
in too few lines to be taught are those nobody taught; in turn, each taught language is left out as well. Test pieces are cut from the line at
random.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from endonym.data import langid
from endonym.data.languages import known, language
from endonym.data.near_dup import normalise

Sources = dict[str, dict[str, list[str]]]
"""Lines by language and source."""
LENGTHS = (0, 40, 20)
"""Characters of a test piece; 0 is the whole line."""
MOST = 300
LEAST_LETTERS = 20
VARIETIES = {"azz": "nah", "nhe": "nah", "nhn": "nah", "mxv": "mix", "quz": "quy"}
"""Varieties of what is taught under a collective code (ISO 639-2 nah, ISO 639-3 que, and the Mixtec languages): no strangers to it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line a way of testing and length; `--json` prints all numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--lines", type=int, default=200, help="Lines a language to learn from.")
    parser.add_argument("--only", default="", help="Language codes separated by commas; all when left out.")
    parser.add_argument("--from", default="", dest="source", help="Only sources whose name holds this.")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    texts = read(options.path, options.source)
    if options.only:
        texts = {code: found for code, found in texts.items() if code in options.only.split(",")}
    results = {}
    for way in ("mixed", "apart"):
        train, test = divided(texts, options.lines, way)
        if len(train) > 1:
            results[way] = measure(train, test)
    if not results:
        print(f"error: {options.path} has no two languages with {options.lines} lines", file=sys.stderr)
        return 4
    if "mixed" in results:
        results["open set"] = refuse(*divided(texts, options.lines, "mixed"), texts)
    print(json.dumps(results, indent=1) if options.json else told(results))
    return 0


def read(path: Path, wanted: str = "") -> Sources:
    """All lines with enough letters under `path`, by language and source."""
    found: dict[str, dict[str, dict[str, None]]] = defaultdict(lambda: defaultdict(dict))
    for file in sorted(path.rglob("*")):
        for code, source, text in _rows(file):
            name = f"{file.stem}{source}"
            if wanted in name and sum(map(str.isalpha, text)) >= LEAST_LETTERS:
                found[language(code).code][name].setdefault(" ".join(text.split()))
    return {code: {name: list(lines) for name, lines in sources.items()} for code, sources in sorted(found.items())}


def _rows(file: Path) -> Iterator[tuple[str, str, str]]:
    """(language, part of the file, text)."""
    if file.suffix == ".tsv":
        with file.open(encoding="utf-8", newline="") as lines:
            table = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
            # A code that no table of languages has is one where all columns are named so.
            codes = all(re.fullmatch("[a-z]{3}", column) for column in table.fieldnames or ())
            for row in table:
                for column, text in row.items():
                    if column and text and column != "id" and (codes or known(column)):
                        yield column, f": {row['document']}" if row.get("document") else "", text
    elif file.name == "examples.csv":
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                yield row["Language_ID"], "", row["Primary_Text"]
                yield row.get("Meta_Language_ID") or "spa", "", row["Translated_Text"]
    elif file.suffix == ".jsonl":
        for line in file.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            for text in record.get("paragraphs", ()):
                yield record["lang"], "", text
            for pair in record.get("lines", ()):
                yield from ((code, f": {record.get('recording', '')}", text) for code, text in pair.items())


def divided(texts: Sources, lines: int, way: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Training and test lines by language; a language without enough of both is left out."""
    train, test = {}, {}
    for code, sources in texts.items():
        rng = random.Random(code)
        names = sorted(sources, key=lambda name: -len(sources[name]))
        if way == "apart":
            # Every other source, so that both sides have large and small ones.
            taught = [line for name in names[::2] for line in sources[name]]
            asked = [line for name in names[1::2] for line in sources[name]]
        else:
            every = [line for name in names for line in sources[name]]
            rng.shuffle(every)
            taught, asked = every[: len(every) // 2], every[len(every) // 2 :]
        rng.shuffle(taught)
        rng.shuffle(asked)
        seen = {normalise(line) for line in taught[:lines]}
        asked = [line for line in asked if normalise(line) not in seen]
        if len(taught) >= lines and len(asked) >= 30:
            train[code], test[code] = taught[:lines], asked[:MOST]
    return train, test


def measure(train: Mapping[str, Sequence[str]], test: Mapping[str, Sequence[str]]) -> dict[str, object]:
    """F1 of each language and their mean at each length; the languages of the Declaration are no answers here."""
    started = time.perf_counter()
    identifier = langid.learn(train, others=False)
    rows: dict[str, object] = {"languages": list(train), "seconds": round(time.perf_counter() - started, 2)}
    for length in LENGTHS:
        pieces = [(code, piece(text, length)) for code, lines in test.items() for text in lines]
        said = [verdict.code for verdict in identifier.identify([text for _, text in pieces])]
        scores = f1([code for code, _ in pieces], said)
        rows[str(length or "full")] = {"macro_f1": round(float(np.mean(list(scores.values()))), 4), "pieces": len(pieces),
                                       "f1": {code: round(score, 4) for code, score in scores.items()}}  # fmt: skip
    return rows


def refuse(train: Mapping[str, list[str]], test: Mapping[str, list[str]], texts: Sources) -> dict[str, object]:
    """AUROC of being known, and the share of strange text taken for known, at each length.

    Every taught language is left out in turn, and its test lines are the strange ones; so are all lines of languages too small to
    be taught, if they are no varieties of one that is. The identifier knows the Declaration, as in use, without the language asked about.
    """
    rows: dict[str, object] = {}
    lines_of = {code: [line for lines in found.values() for line in lines][:100] for code, found in texts.items()}
    small = {code: lines for code, lines in lines_of.items() if code not in train and VARIETIES.get(code) not in train}
    values: dict[int, list[tuple[bool, float, str]]] = {length: [] for length in LENGTHS}
    for left in train:
        identifier = langid.learn(
            {code: lines for code, lines in train.items() if code != left}, without=[left, *small]
        )
        strange = {left: test[left][:100]} | (
            {code: small[code] for code in small} if left == next(iter(train)) else {}
        )
        ours = [line for code, lines in test.items() if code != left for line in lines[:20]]
        for length in LENGTHS:
            for known_text, code, lines in [
                (True, "", ours),
                *((False, code, lines) for code, lines in strange.items()),
            ]:
                chances = identifier.known([piece(line, length) for line in lines])
                values[length] += [(known_text, float(chance), code) for chance in chances]
    for length, found in values.items():
        by_code = {
            code: [chance for _, chance, other in found if other == code]
            for code in {code for _, _, code in found} - {""}
        }
        ours = [chance for is_known, chance, _ in found if is_known]
        rows[str(length or "full")] = {
            "auroc": round(auroc(ours, [chance for is_known, chance, _ in found if not is_known]), 4),
            "false_accept": round(float(np.mean([np.mean(np.array(chances) > 0.5) for chances in by_code.values()])), 4),
            "false_refusal": round(float(np.mean(np.array(ours) <= 0.5)), 4),
            "by_language": {code: round(float(np.mean(np.array(chances) > 0.5)), 3) for code, chances in sorted(by_code.items())},
        }  # fmt: skip
    return rows


def piece(text: str, length: int) -> str:
    """A piece of a text that begins at a word, the same each time; the whole text when `length` is 0."""
    if not length or len(text) <= length:
        return text
    starts = [i for i in range(len(text) - length + 1) if i == 0 or text[i - 1] == " "]
    start = random.Random(text).choice(starts)
    return text[start : start + length]


def f1(gold: Sequence[str], said: Sequence[str]) -> dict[str, float]:
    """F1 of each language in `gold`."""
    scores = {}
    for code in dict.fromkeys(gold):
        right = sum(a == b == code for a, b in zip(gold, said))
        scores[code] = 2 * right / max(1, sum(a == code for a in gold) + sum(b == code for b in said))
    return scores


def auroc(ours: Sequence[float], strange: Sequence[float]) -> float:
    """Probability that a known text is held for known rather than a strange one."""
    order = np.argsort(np.argsort(np.concatenate([ours, strange]), kind="stable"), kind="stable") + 1
    return float((order[: len(ours)].sum() - len(ours) * (len(ours) + 1) / 2) / (len(ours) * len(strange)))


def told(results: Mapping[str, object]) -> str:
    """The numbers as lines."""
    lines = []
    for way, rows in results.items():
        assert isinstance(rows, dict)
        if "languages" in rows:
            lines.append(f"{way}: {len(rows['languages'])} languages, learned in {rows['seconds']} s")
        for length in ("full", "40", "20"):
            row = rows[length]
            if "macro_f1" in row:
                worst = sorted(row["f1"].items(), key=lambda item: item[1])[:4]
                lines.append(f"  {length:>4}  macro-F1 {row['macro_f1']:.4f} on {row['pieces']} pieces; lowest "
                             + ", ".join(f"{code} {score:.3f}" for code, score in worst))  # fmt: skip
            else:
                lines.append(f"  {way} {length:>4}  AUROC {row['auroc']:.4f}, taken for known {row['false_accept']:.2%}, refused "
                             f"wrongly {row['false_refusal']:.2%}")  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
