"""Look at uploaded files and add them to the project; cut pieces out of pages and recordings; take sources out."""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from endonym.errors import DataError, EndonymError, Problem
from endonym.ingest import piece as pieces
from endonym.ingest.add import add as add_sources
from endonym.ingest.finding import Finding
from endonym.ingest.packing import chunks, packing
from endonym.ingest.restate import restate as restate_source
from endonym.ingest.withdraw import learned, remove
from endonym.project import STATE_FOLDER, Project
from endonym.types import Doc, from_json
from endonym.web.uploads import FOLDER, FOUND

MOST_ENTRIES = 10_000
MOST_UNPACKED = 16 << 30
MOST_RATIO = 100
RATIO_FROM = 64 << 20
"""Unpacked bytes from which the ratio counts: small tables pack very well."""
PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".bin", ".joblib", ".dill", ".npy", ".npz", ".h5", ".keras")

Events = Iterator[tuple[str, Any]]


def add(project: str, files: list[str], about: dict[str, Any]) -> Events:
    """Add the files (relative to the project) as sources; the result is a finding for each source and each file that is none.

    Files that did not become part of a source are deleted again.
    """
    home = Project(project)
    findings, good = [], []
    for name in files:
        try:
            examine(home.path / name)
            good.append(home.path / name)
        except EndonymError as error:
            problems = (
                error.problems if isinstance(error, DataError) else [Problem(name, 0, "", error.message, error.hint)]
            )
            findings.append(Finding([name], problems=problems))
    findings += add_sources(home, good, **about)
    used = {name for finding in findings if finding.added for name in finding.files}
    for name in files:
        if name not in used:
            (home.path / name).unlink(missing_ok=True)
    shown = [finding.as_json() for finding in findings]
    with (home.path / STATE_FOLDER / FOUND).open("a", encoding="utf-8") as out:
        out.writelines(json.dumps(one, ensure_ascii=False) + "\n" for one in shown if one["added"])
    yield "done", shown


def examine(path: Path) -> None:
    """Raises DataError for a file that nobody may upload: one that can run code, or one that unpacks to far more than it is."""
    if path.suffix.lower() in PICKLES or _is_pickle(path):
        raise _problem(
            path, "a file of this kind can run code when it is opened", "models come as safetensors, tables as CSV"
        )
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as file:
                members = file.infolist()
        except (zipfile.BadZipFile, RuntimeError, ValueError, OSError) as error:
            raise _problem(path, f"a broken archive: {error}", "save the file again") from error
        unpacked = sum(one.file_size for one in members)
        if len(members) > MOST_ENTRIES:
            raise _problem(
                path, f"{len(members):,} files in one archive", f"at most {MOST_ENTRIES:,} are taken; split it"
            )
        if any(one.filename.endswith(("/data.pkl", ".pkl")) or one.filename == "data.pkl" for one in members):
            raise _problem(path, "an archive with a pickle in it, which can run code", "models come as safetensors")
        _weigh(path, unpacked)
    elif packing(path):
        unpacked = 0
        for chunk in chunks(path):
            unpacked += len(chunk)
            _weigh(path, unpacked)


def piece(project: str, record: dict[str, Any]) -> Events:
    """The picture or sound of a passage: `{"type", "base64"}`."""
    found = from_json(record)
    assert isinstance(found, Doc)
    content, kind = pieces.of(Path(project), found)
    yield "done", {"type": kind, "base64": base64.b64encode(content).decode()}


def restate(project: str, file: str, rights: dict[str, Any]) -> Events:
    """Give the source that has this file other rights; the result is its table."""
    yield "done", restate_source(Project(project), file, rights)


def withdraw(project: str, file: str) -> Events:
    """Take out the source that has this file, delete its uploaded files, and tell which models learned from it."""
    home = Project(project)
    removed = remove(home, file)
    for name in removed["files"]:
        path = home.path / name
        if Path(name).parts[0] == FOLDER and path.resolve().is_relative_to(home.path / FOLDER):
            path.unlink(missing_ok=True)
    yield "done", {"removed": removed, "models": learned(home, removed["files"])}


def _weigh(path: Path, unpacked: int) -> None:
    if unpacked > MOST_UNPACKED or (unpacked > RATIO_FROM and unpacked > MOST_RATIO * path.stat().st_size):
        what = f"it unpacks to more than {unpacked >> 20:,} MiB, far more than a text does"
        raise _problem(path, what, "if it is real, unpack it and send it in smaller files")


def _is_pickle(path: Path) -> bool:
    """Whether a file begins as pickles of protocol 2 and later do: the mark, the protocol, then a frame or an opcode."""
    with path.open("rb") as file:
        head = file.read(3)
    return len(head) == 3 and head[0] == 0x80 and head[1] in (2, 3, 4, 5) and head[2] in b"\x95](}Kc\x8a\x8cXq"


def _problem(path: Path, what: str, repair: str) -> DataError:
    return DataError(Problem(path.name, 0, "", what, repair))
