"""Word and character error rates of the recording reader, and how much of a transcript it finds at its place.

    python benchmarks/asr.py PATH [--json] [--model NAME]

PATH is a folder with recordings and a `transcripts.tsv` (columns file, lang, text), or any folder whose recordings have their
transcripts beside them. Both sides are compared in small letters without punctuation. `transcript found` is the share of the
transcript's letters that its alignment finds in what was recognised at its place.
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
from endonym.data.languages import language
from endonym.errors import EndonymError
from endonym.ingest import sound, speech, transcript
from endonym.ingest.forms import form
from endonym.models.speech import find

FORMS = ("WAV", "MP3", "FLAC", "Ogg")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a row a recording and the sums of each language; `--json` prints all numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--model", default="", help="Name of `endonym models`, or a folder; the best that is here when left out."
    )
    parser.add_argument(
        "--language", default="", help="Only recordings in this language, or the language where no table names it."
    )
    options = parser.parse_args(arguments)
    rows = []
    for path in sorted(p for p in options.path.iterdir() if p.is_file() and form(p) in FORMS):
        code = language(transcript.declared(path) or options.language).code
        if not transcript.beside(path) or (options.language and code != options.language):
            continue
        try:
            rows.append(measure(path, code, options.model))
        except EndonymError as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            continue
        if not options.json:
            print(line(rows[-1]), flush=True)
    if not rows:
        print(f"error: no recording with a transcript could be read in {options.path}", file=sys.stderr)
        return 4
    sums = summed(rows)
    if options.json:
        print(json.dumps({"recordings": rows, "sums": sums}, ensure_ascii=False, indent=1))
    else:
        for code, row in sums.items():
            print(f"\n{code}: {row['recordings']} recordings, WER {row['wer']:.1%}, CER {row['cer']:.1%}, "
                  f"{row['speed']:.2f} s of computing a second of sound")  # fmt: skip
    return 0


def measure(path: Path, code: str, model: str) -> dict[str, Any]:
    """Numbers of one recording."""
    folder = find(model, code)
    beside = transcript.beside(path)
    assert beside is not None
    seconds = sum(len(samples) for _, samples in sound.windows(path)) / sound.RATE
    spoken = speech.whisper_code(code) if speech.knows(folder, code) else ""
    started = time.perf_counter()
    passages = [one for start, samples in sound.windows(path) for one in speech._heard(samples, start, folder, spoken)]
    took = time.perf_counter() - started
    said = transcript.lines(beside, path, code)
    rates = transcript.errors(said, passages)
    placed = transcript.align(said, passages)
    return {
        "recording": path.name, "language": code, "model": folder.name, "seconds": round(seconds, 1), "computing": round(took, 1),
        "errors": [rates.char_errors, rates.chars, rates.word_errors, rates.words],
        "confidence": round(sum(p.confidence * (p.end - p.begin) for p in passages) / max(1e-9, sum(p.end - p.begin for p in passages)), 3),
        "found_at_its_place": round(sum(p.confidence * len(p.text) for p in placed) / max(1, sum(len(p.text) for p in placed)), 3),
        "heard": " ".join(p.text for p in passages),
    }  # fmt: skip


def summed(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rates of each language over all its words and characters."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["language"]].append(row)
    found = {}
    for code, own in groups.items():
        rates = sum((ErrorRates(*row["errors"]) for row in own), ErrorRates())
        found[code] = {
            "recordings": len(own), "wer": rates.wer, "cer": rates.cer,
            "speed": sum(row["computing"] for row in own) / sum(row["seconds"] for row in own),
        }  # fmt: skip
    return found


def line(row: dict[str, Any]) -> str:
    """One recording for people."""
    rates = ErrorRates(*row["errors"])
    return (f"{row['recording']:<24}{row['language']:<5}{row['seconds']:6.1f} s  WER {rates.wer:7.1%}  CER {rates.cer:7.1%}"
            f"  confidence {row['confidence']:.2f}  transcript found {row['found_at_its_place']:.2f}  {row['computing']:6.1f} s")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
