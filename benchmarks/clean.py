"""Speed of near-duplicate removal beside datatrove, datasketch, gaoya and rensa, on the same texts, and whether all drop the same.

    python benchmarks/clean.py [PATH] [--json] [--peers FOLDER] [--records 100000]
    python benchmarks/clean.py [PATH] [--json] [--records 100000] --project FOLDER

PATH is a file of texts, one a line; without it, short texts are made from a fixed seed. A fifth of them get a copy with one letter changed.
Each peer runs in a process of its own with `FOLDER/v_<peer>/bin/python`, an environment with the peer installed (`python -m venv FOLDER/v_gaoya`,
`FOLDER/v_gaoya/bin/pip install gaoya`; datatrove wants `datatrove[processing]` and `spacy`); those that are not there are left out. All use character 5-grams and a similarity of 0.8. Seconds are those of the processor, from texts in memory to the list of
what is kept. What is dropped is compared with what must be: texts whose exact Jaccard similarity with their original is at least 0.8.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
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
        "--project",
        type=Path,
        metavar="FOLDER",
        help="Make a project there instead, take in a file of such texts and their other side, and clean it: what a user does.",
    )
    options = parser.parse_args(arguments)
    texts, copies = material(options.path, options.records)
    if options.project:
        report(len(texts), whole(texts, options.project), options.json)
        return 0
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


def whole(texts: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    """`endonym ingest` and `endonym clean` with their defaults, each a job in a process of its own, on a file of pairs.

    The other side of a pair is the same text with other letters. Memory is the most that the job's processes held together (Linux), looked
    at twice a second; a page that several of them share counts once.
    """
    from endonym import create_project, open_project

    create_project(folder, language="tzh", pivot="spa")
    file = folder.parent / f"{folder.name}.tsv"
    other = str.maketrans("aeioubcdfgklmnprst", "eioauvkgbdpmlrntzh")
    file.write_text("tzh\tspa\n" + "".join(f"{text}\t{text.translate(other)}\n" for text in texts), encoding="utf-8")
    endonym = [sys.executable, "-m", "endonym", "add", str(file.resolve())]
    subprocess.run(endonym, cwd=folder, capture_output=True, check=True)
    project, rows = open_project(folder), []
    for verb in ("ingest", "clean"):
        wall = time.perf_counter()
        with Watched() as memory:
            job = getattr(project, verb)()
        # The worker is a child of this process, and its own child, which does the work, is counted with it.
        _, _, usage = os.wait4(-1, 0)
        rows.append({
            "job": verb, "cpu_seconds": usage.ru_utime + usage.ru_stime, "wall_seconds": time.perf_counter() - wall,
            "mebibytes": memory.most / 1024, "summary": {k: v for k, v in job.summary.items() if k != "tables"},
        })  # fmt: skip
    return rows


class Watched:
    """Memory of all descendants of this process, in KiB, while the block runs."""

    def __enter__(self) -> Watched:
        self.most, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.5):
            waiting, total = [os.getpid()], 0
            while waiting:
                parent = waiting.pop()
                try:
                    for task in Path(f"/proc/{parent}/task").iterdir():
                        waiting += map(int, (task / "children").read_text().split())
                    if parent != os.getpid():
                        shares = Path(f"/proc/{parent}/smaps_rollup").read_text()
                        total += int(shares.partition("\nPss:")[2].split()[0])
                except (OSError, IndexError):
                    continue  # it has just ended
            self.most = max(self.most, total)


def report(number: int, rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print what each job took."""
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{number:,} pairs\n{'job':<10}{'CPU s':>8}{'wall s':>8}{'MiB':>7}")
    for row in rows:
        print(
            f"{row['job']:<10}{row['cpu_seconds']:>8.0f}{row['wall_seconds']:>8.0f}{row['mebibytes']:>7.0f}  {row['summary']}"
        )


if __name__ == "__main__":
    sys.exit(main())
