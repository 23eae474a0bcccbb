"""Take a folder of material into projects, as `endonym add` does, and check that no character of it is left behind.

    python benchmarks/intake.py PATH --project PART=LANGUAGE:PIVOT [--project ...] [--json]

PART is a file or folder below PATH, and the languages are those its project would have; the longest PART that fits a file decides, and
files that none fits are passed over and listed. Each project is made anew in a temporary folder, gets all of its files in one `add`,
and is read by the `ingest` stage.

Two things are checked for every source. Its ledger must balance: characters in are characters kept and dropped. And letters, marks
and digits of the file itself, read here by other code (fields of tables, strings of JSON, lines of other text), must all be in its records, in
its ledger, or in columns that `add` said are not read; what is missing is `unaccounted`. The second check is for text files only.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import sys
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from endonym.data.dataset import Dataset
from endonym.errors import EndonymError
from endonym.ingest.add import add
from endonym.ingest.finding import Finding
from endonym.project import Project
from endonym.types import to_json

TABLES = {".tsv": "\t", ".csv": ","}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line a source; the exit code is 1 when a file was refused, a ledger does not balance or text is unaccounted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--project", action="append", default=[], metavar="PART=LANGUAGE:PIVOT")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    parts = {part: tuple(codes.split(":")) for part, _, codes in (text.partition("=") for text in options.project)}
    projects: dict[tuple[str, ...], list[Path]] = {}
    passed = []
    for file in sorted(p for p in options.path.rglob("*") if p.is_file() and not p.name.startswith(".")):
        name = file.relative_to(options.path).as_posix()
        fitting = [part for part in parts if name == part or name.startswith(part.rstrip("/") + "/") or part == "."]
        if fitting:
            projects.setdefault(parts[max(fitting, key=len)], []).append(file)
        else:
            passed.append(name)
    rows = [row for codes, files in projects.items() for row in take_in(codes, files)]
    wrong = [row for row in rows if row["refused"] or not row["balanced"] or row["unaccounted"]]
    if options.json:
        print(json.dumps({"sources": rows, "passed over": passed}, ensure_ascii=False, indent=1))
        return bool(wrong)
    for row in rows:
        counts = ", ".join(f"{number:,} {kind}" for kind, number in row["records"].items())
        said = f"REFUSED: {row['refused']}" if row["refused"] else f"{row['reader']}: {counts}; {row['characters']}"
        print(f"{' + '.join(row['files'])}\n    {said}" + ("" if row["balanced"] else "\n    DOES NOT BALANCE"))
        if row["unaccounted"]:
            print(f"    UNACCOUNTED: {row['unaccounted']:,} characters, such as {row['such as']}")
    print(f"\n{len(rows)} sources, {len(wrong)} with something to say; {len(passed)} files passed over")
    return bool(wrong)


def take_in(codes: Sequence[str], files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """One project with these languages: what became of each of its sources."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        settings = f'[project]\nlanguage = "{codes[0]}"\npivot = "{codes[1]}"\n'
        (path / "endonym.toml").write_text(settings, encoding="utf-8")
        found = add(Project(path), files)
        project = Project(path)
        data = None
        failed = ""
        if any(finding.added for finding in found):
            try:
                data = Dataset(project.output(project.ingest().id))
            except EndonymError as error:
                failed = error.message
        for finding in found:
            yield {"project": ":".join(codes), **_row(finding, data, path, failed)}


def _row(finding: Finding, data: Dataset | None, project: Path, failed: str) -> dict[str, Any]:
    refused = failed or "; ".join(str(problem).replace("\n", " ") for problem in finding.problems[:2])
    row: dict[str, Any] = {"files": [name.removeprefix("raw/") for name in finding.files], "reader": finding.reader, "refused": refused,
           "records": {}, "characters": {}, "balanced": True, "unaccounted": 0, "such as": "", "notes": finding.notes}  # fmt: skip
    if refused or data is None:
        return row
    kept, dropped, kinds = Counter[str](), Counter[str](), Counter[str]()
    own = tuple(f"{name}:" for name in finding.files)
    for record in data.records():
        if record.origin.startswith(own):
            kinds[record.kind] += 1
            kept.update(_signs(_strings(_own(to_json(record)), ABOUT)))
    for line in data.ledger():
        if line["record"]["origin"].startswith(own):
            kinds[line["reason"]] += 1
            dropped.update(_signs(_strings(_own(line["record"]), ABOUT)))
    row["records"] = dict(kinds)
    row["characters"] = {"kept": kept.total(), "dropped": dropped.total()}
    row["balanced"] = all(c["in"] == c["kept"] + c["dropped"] and not c["changed"]
                          for c in data.manifest["characters"].values())  # fmt: skip
    there = Counter[str]()
    for name in finding.files:
        text = _texts(project / name, _not_read(finding.notes, Path(name).name) | _links(finding.settings))
        if text is None:
            return row
        there.update(_signs(text))
    missing = there - kept - dropped
    row["characters"]["in the file"] = there.total()
    row["unaccounted"], row["such as"] = missing.total(), "".join(sign for sign, _ in missing.most_common(20))
    return row


ABOUT = ("id", "kind", "origin", "language", "source_language", "target_language", "role")
"""Fields of a record that say where it is from and what it is; nothing in them stood in the file as text."""
ADDED = (
    "source",
    "licence",
    "attribution",
    "document",
    "parallel",
    "entry",
    "entries",
    "headwords",
    "section",
    "clusters",
    "hash",
)
"""What readers note of a record, or repeat of another one."""


def _own(record: dict[str, Any]) -> dict[str, Any]:
    """A record as plain data with only that in its meta which stood in the file at this place."""
    return {**record, "meta": {key: value for key, value in record["meta"].items() if key not in ADDED}}


LINKS = ("id", "entry", "sense", "language", "document", "confidence")
"""Settings that name columns by which rows are tied or chosen."""


def _links(settings: Any) -> set[str]:
    """The columns of a source that tie and choose rows."""
    found: set[str] = set()
    for key, value in settings.items():
        if isinstance(value, dict):
            found |= set(value) if key == "where" else _links(value)
        elif key in LINKS:
            found.add(str(value))
    return found


def _not_read(notes: Iterable[str], file: str) -> set[str]:
    """The columns that `add` says are not read, of one file where it names it."""
    found: set[str] = set()
    for note in notes:
        head, _, names = note.partition("that are not read: ")
        if names and head.startswith(("columns", "fields")) and (file in head or " of " not in head):
            found.update(names.split(", "))
    return found


def _texts(path: Path, without: set[str]) -> Iterator[str] | None:
    """The texts of a file in fields that are read; None when it is no text."""
    name = path.name.removesuffix(".gz")
    suffix = Path(name).suffix.lower()
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") if path.suffix == ".gz" else path.open(encoding="utf-8", newline="") as file:  # fmt: skip
            content = file.read()
    except UnicodeDecodeError:
        return None
    if "\0" in content:
        return None
    if suffix in TABLES:
        reader = csv.DictReader(content.splitlines(True), delimiter=TABLES[suffix],
                                quoting=csv.QUOTE_NONE if suffix == ".tsv" else csv.QUOTE_MINIMAL)  # fmt: skip
        return (value for row in reader for key, value in row.items() if key not in without and isinstance(value, str))
    if suffix == ".jsonl":
        return _strings([json.loads(line) for line in content.split("\n") if line.strip()], without)
    if suffix == ".json":
        return _strings(json.loads(content), without)
    return iter([content])


def _strings(value: Any, without: Iterable[str] = ()) -> Iterator[str]:
    """All strings in JSON data that do not stand under one of these keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key not in without:
                yield from _strings(inner, without)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner, without)


def _signs(texts: Iterable[str]) -> Iterator[str]:
    """Letters, marks and digits: what is left of a text without its punctuation, spaces and markup signs."""
    return (sign for text in texts for sign in text if unicodedata.category(sign)[0] in "LMN")


if __name__ == "__main__":
    sys.exit(main())
