"""Speed of near-duplicate removal beside datatrove, datasketch, gaoya and rensa, on the same texts, and whether all drop the same.

    python benchmarks/clean.py [PATH] [--json] [--peers FOLDER] [--records 100000]

PATH is a file of texts, one a line; without it, short texts are made from a fixed seed. A fifth of them get a copy with one letter changed.
Each peer runs in a process of its own with `FOLDER/v_<peer>/bin/python`, an environment with the peer installed (`python -m venv FOLDER/v_gaoya`,
`FOLDER/v_gaoya/bin/pip install gaoya`; datatrove wants `datatrove[processing]` and `spacy`); those that are not there are left out. All use character 5-grams and a similarity of 0.8. Seconds are those of the processor, from texts in memory to the list of
what is kept. What is dropped is compared with what must be: texts whose exact Jaccard similarity with their original is at least 0.8.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from endonym.data.near_dup import jaccard, normalise, shingles

HERE = Path(__file__).parent
PEERS = ("datatrove", "datasketch", "gaoya", "rensa")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one row a program; `--json` prints all numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path", type=Path, nargs="?")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peers", type=Path, help="Folder with the environments of the peers.")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument(
        "--whole", action="store_true", help="Time all default filters of cleaning too, quality among them."
    )
    options = parser.parse_args(arguments)
    texts, copies = material(options.path, options.records)
    must = {copy for copy, original in copies.items() if alike(texts[copy], texts[original])}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.jsonl"
        file.write_text(
            "".join(json.dumps(normalise(text), ensure_ascii=False) + "\n" for text in texts), encoding="utf-8"
        )
        raw = Path(folder) / "raw.jsonl"
        raw.write_text("".join(json.dumps(text, ensure_ascii=False) + "\n" for text in texts), encoding="utf-8")
        rows.append(ran("endonym", sys.executable, raw, len(texts), must))
        for peer in PEERS:
            python = options.peers / f"v_{peer}" / "bin" / "python" if options.peers else None
            if python and python.exists():
                rows.append(ran(peer, str(python), file, len(texts), must))
    if options.whole:
        rows.append(whole(texts))
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    print(
        f"{len(texts):,} texts, {len(must):,} planted copies that are alike\n{'program':<24}{'CPU s':>8}{'wall s':>8}{'MiB':>7}{'kept':>9}{'found':>8}{'times endonym':>15}"
    )
    for row in rows:
        print(
            f"{row['program']:<24}{row['cpu_seconds']:>8.1f}{row['wall_seconds']:>8.1f}{row['mebibytes']:>7.0f}{row['kept']:>9}"
            f"{row['found']:>8.3f}{row['cpu_seconds'] / rows[0]['cpu_seconds']:>15.1f}"
        )
    return 0


def material(path: Path | None, records: int) -> tuple[list[str], dict[int, int]]:
    """Texts, and for each planted copy its original."""
    rng = random.Random(3)
    if path:
        texts = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if len(line.strip()) >= 40][
            :records
        ]
    else:
        letters = "aaeeiiooubcdfghjklmnpqrstvxyz'"
        words = ["".join(rng.choice(letters) for _ in range(rng.randint(2, 11))) for _ in range(30_000)]
        texts = [
            " ".join(words[int(len(words) * rng.random() ** 3)] for _ in range(rng.randint(8, 14)))
            for _ in range(records * 5 // 6)
        ]
    copies = {}
    for original in range(0, len(texts), 5):
        text = texts[original]
        place = rng.randrange(len(text))
        copies[len(texts)] = original
        texts.append(text[:place] + rng.choice("aeiou") + text[place + 1 :])
    return texts, copies


def alike(first: str, second: str) -> bool:
    """Whether two texts are near-duplicates, exactly."""
    return jaccard(shingles(normalise(first)), shingles(normalise(second))) >= 0.8


def ran(program: str, python: str, file: Path, number: int, must: set[int]) -> dict[str, Any]:
    """Run one program on the texts and look at what it kept."""
    output = subprocess.run(
        [python, str(HERE / "peers" / "near_dup.py"), program, str(file)], capture_output=True, text=True, check=False
    )
    if output.returncode:
        raise SystemExit(f"{program}: {output.stderr[-2000:]}")
    found = json.loads(output.stdout.strip().splitlines()[-1])
    kept = set(found.pop("kept"))
    lost = len(must - kept) / max(1, len(must))
    return {"program": program, **found, "kept": len(kept), "dropped": number - len(kept), "found": lost}


def whole(texts: Sequence[str]) -> dict[str, Any]:
    """All default filters on pairs whose other side is the same text with other letters."""
    from endonym import plugins
    from endonym.clean.run import DEFAULT
    from endonym.types import Keep, Pair

    other = str.maketrans("aeioubcdfgklmnprst", "eioauvkgbdpmlrntzh")
    stream: Any = (
        Pair(f"{i:016x}", text, text.translate(other), "tzh", "xxx", f"a.tsv:{i + 1}") for i, text in enumerate(texts)
    )
    started, wall = time.process_time(), time.perf_counter()
    for name in DEFAULT:
        module = plugins.load("filter", name)
        stream = (item.record for item in module.sift(stream, module.Config()) if isinstance(item, Keep))
    kept = sum(1 for _ in stream)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "program": "endonym, all filters", "cpu_seconds": time.process_time() - started, "wall_seconds": time.perf_counter() - wall,
        "mebibytes": peak, "kept": kept, "found": float("nan"),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
