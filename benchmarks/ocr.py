"""Character and word error rates of the scan reader on pages whose text a person typed, and what each way of reading brings.

    python benchmarks/ocr.py PATH [--json] [--language CODE]

PATH is a page or a folder with pages; those with ground truth beside them are read: `NAME.gt.txt`, `NAME.gt.tsv` (a list of
entries, which may leave some out), ALTO or PAGE XML. The language is told from the typed text where it is not given.
Runs of white space count as one space, and the sign for a hyphen at a line's end (U+00AC) as a hyphen; nothing else is changed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from endonym.data.edits import ErrorRates
from endonym.errors import EndonymError
from endonym.ingest import ocr, picture, tesseract, truth
from endonym.ingest.language import classify

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a row a page and the sums of each folder; `--json` prints all numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--language", default="", help="ISO 639-3 code of the pages.")
    parser.add_argument(
        "--models", default="", help="Tesseract language data, separated by commas; those that suit when left out."
    )
    parser.add_argument("--plain", action="store_true", help="One reading of the page as it is, for comparison.")
    options = parser.parse_args(arguments)
    paths = (
        [options.path]
        if options.path.is_file()
        else sorted(p for p in options.path.rglob("*") if p.suffix.lower() in SUFFIXES)
    )
    rows = []
    for path in paths:
        try:
            row = measure(path, options.language, options.models.split(",") if options.models else [], options.plain)
        except EndonymError as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            continue
        if row:
            rows.append(row)
            if not options.json:
                print(line(row), flush=True)
    if not rows:
        print(f"error: no page with ground truth could be read in {options.path}", file=sys.stderr)
        return 4
    sums = summed(rows)
    if options.json:
        print(json.dumps({"pages": rows, "sums": sums}, ensure_ascii=False, indent=1))
    else:
        for folder, row in sums.items():
            print(f"\n{folder}: {row['pages']} pages, CER {row['cer']:.2%}, WER {row['wer']:.2%}, {row['seconds']:.1f} s a page"
                  + (f", {row['exact']} of {row['entries']} entries exact" if row["entries"] else ""))  # fmt: skip
    return 0


def measure(path: Path, language: str, models: list[str], plain: bool) -> dict[str, Any]:
    """Numbers of one page; empty for a page without ground truth."""
    text, table = truth.typed(path), truth.typed_list(path)
    if not text and not table:
        return {}
    typed = [words for _, words in truth.lines(text or table)]  # type: ignore[arg-type]
    code = language or classify(" ".join(typed))[0]
    chosen = models or tesseract.candidates([code])
    started = time.perf_counter()
    image = picture.page(path, 1)
    reading = ocr._read(image, chosen[0]) if plain else ocr.read_page(image, chosen)
    seconds = time.perf_counter() - started
    exact = entries = 0
    if text:
        rates = truth.page_errors(typed, reading.text)
    else:
        exact, rates = truth.list_errors(table, [one.text for one in reading.lines])  # type: ignore[arg-type]
        entries = rates.words
    return {
        "page": path.name, "folder": path.parent.name, "language": code, "model": reading.model, "way": reading.prepared,
        "tried": reading.tried, "confidence": round(reading.confidence, 1), "seconds": round(seconds, 2),
        "errors": [rates.char_errors, rates.chars, rates.word_errors, rates.words], "exact": exact, "entries": entries,
    }  # fmt: skip


def summed(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rates of each folder over all its characters and words."""
    folders: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        folders[row["folder"]].append(row)
    found = {}
    for folder, own in folders.items():
        rates = sum((ErrorRates(*row["errors"]) for row in own), ErrorRates())
        found[folder] = {
            "pages": len(own), "cer": rates.cer, "wer": rates.wer, "seconds": sum(row["seconds"] for row in own) / len(own),
            "exact": sum(row["exact"] for row in own), "entries": sum(row["entries"] for row in own),
        }  # fmt: skip
    return found


def line(row: dict[str, Any]) -> str:
    """One page for people."""
    rates = ErrorRates(*row["errors"])
    exact = f"  exact {row['exact']}/{row['entries']}" if row["entries"] else ""
    return (f"{row['page']:<22}{row['model']:<10}{row['way']:<18} CER {rates.cer:7.2%}  WER {rates.wer:7.2%}"
            f"  confidence {row['confidence']:5.1f}  {row['seconds']:6.2f} s{exact}")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
