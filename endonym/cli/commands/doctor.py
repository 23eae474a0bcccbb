"""Check this computer and the project, and name the exact fix of whatever is missing."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from endonym.cli.console import Console, size
from endonym.errors import ConfigError, EndonymError

if TYPE_CHECKING:
    from endonym.project import Project

OK, NOTE, BAD = "ok", "note", "missing"
CORE = ("numpy", "py3langid", "pydantic", "pyppmd", "regex", "sacrebleu", "threadpoolctl")
NEED_DISK = 6 * 2**30
NEED_MEMORY = 4 * 2**30


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `fix` is the command or deed that repairs it."""

    what: str
    state: str
    """`ok`, `note` (works, but could be better) or `missing` (something will not work)."""
    detail: str
    fix: str = ""


def options(parser: argparse.ArgumentParser) -> None:
    """`endonym doctor` has no options of its own."""
    parser.epilog = "Exit code 3 when something that the main job needs is missing."


def run(args: argparse.Namespace, console: Console) -> int:
    """Print all findings; returns 3 when something is missing."""
    project, findings = _open(args)
    findings += list(_all(project))
    mark = {OK: "ok     ", NOTE: "note   ", BAD: "MISSING"}
    longest = max(len(f.what) for f in findings)
    lines = []
    for finding in findings:
        lines.append(f"{mark[finding.state]}  {finding.what.ljust(longest)}  {finding.detail}")
        if finding.fix:
            lines.append(f"{' ' * (longest + 11)}fix: {finding.fix}")
    missing = [f for f in findings if f.state == BAD]
    console.result(
        {"ok": not missing, "findings": [asdict(f) for f in findings]},
        "\n".join(lines),
    )
    console.say(
        "\neverything the main job needs is here" if not missing else f"\n{len(missing)} missing; the fixes are above"
    )
    return 3 if missing else 0


def _open(args: argparse.Namespace) -> tuple[Project | None, list[Finding]]:
    from endonym.project import Project

    try:
        project = Project(args.project) if args.project else Project.find()
    except ConfigError as error:
        return None, [Finding("project", BAD, error.message, error.hint)]
    except EndonymError as error:
        return None, [Finding("project", BAD if args.project else NOTE, error.message, error.hint)]
    return project, [Finding("project", OK, f"{project.name}: {project.language} through {project.pivot}")]


def _all(project: Project | None) -> Iterator[Finding]:
    yield _python()
    yield _modules("core packages", CORE, "", BAD)
    yield from _torch()
    yield _modules("training", ("transformers", "peft", "tokenizers", "safetensors"), "train", BAD)
    yield _modules("GGUF export", ("gguf", "xllamacpp"), "gguf", BAD)
    yield _modules("ONNX export", ("onnx", "onnxruntime", "onnxscript"), "onnx", NOTE)
    yield _modules("server", ("fastapi", "uvicorn"), "serve", NOTE)
    yield from _materials(project)
    yield _base(project)
    yield _processor()
    yield _memory()
    yield _disk(project)
    yield _sqlite(project)
    if project is not None:
        yield from _sources(project)


def _python() -> Finding:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.maxsize < 2**32:
        return Finding("Python", BAD, f"{found}, 32-bit", "install a 64-bit Python 3.11 or later; PyTorch needs it")
    return Finding("Python", OK, found)


def _modules(what: str, modules: tuple[str, ...], extra: str, state: str) -> Finding:
    absent = [name for name in modules if importlib.util.find_spec(name) is None]
    if absent:
        target = f"'endonym[{extra}]'" if extra else "--force-reinstall endonym"
        return Finding(what, state, f"not installed: {', '.join(absent)}", f"{sys.executable} -m pip install {target}")
    return Finding(what, OK, ", ".join(f"{name} {version(name)}" for name in modules))


def _torch() -> Iterator[Finding]:
    pip = f"{sys.executable} -m pip install torch"
    if importlib.util.find_spec("torch") is None:
        yield Finding("PyTorch", BAD, "not installed", pip)
        return
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding("PyTorch", BAD, f"installed but broken: {error}", f"{pip} --force-reinstall")
        return
    threads = torch.get_num_threads()
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name(0)
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        yield Finding("PyTorch", OK, f"{torch.__version__}, GPU {name}, {bf16}")
    elif torch.backends.mps.is_available():
        yield Finding("PyTorch", OK, f"{torch.__version__}, Apple GPU")
    else:
        yield Finding(
            "PyTorch", OK, f"{torch.__version__}, no GPU found: trains on the processor with {threads} threads"
        )


def _materials(project: Project | None) -> Iterator[Finding]:
    """What reading scans and recordings needs; it is missing only where the project has some."""
    from endonym.data.languages import name
    from endonym.ingest import tesseract
    from endonym.models import speech

    readers = {str(source.get("reader", "")) for source in project.sources} if project else set()
    scans, sound = (BAD if reader in readers else NOTE for reader in ("scan", "audio"))
    yield _modules("scans", ("tesserocr", "pypdfium2"), "ocr", scans)
    codes = [project.language, project.pivot] if project else []
    lacking = tesseract.missing(codes)
    if lacking:
        said = f"no language data for {', '.join(map(name, lacking))}"
        yield Finding(
            "Tesseract", scans if project and project.language in lacking else NOTE, said, tesseract.command(lacking)
        )
    elif not tesseract.installed():
        yield Finding("Tesseract", NOTE, "no language data here", tesseract.command(["eng"]))
    else:
        have = tesseract.candidates(codes) if codes else sorted(tesseract.installed())
        yield Finding("Tesseract", OK, f"language data {', '.join(have)} in {tesseract.folder()}")
    # Sound is decoded by PyAV, which brings FFmpeg's libraries: the program ffmpeg is not needed.
    yield _modules("recordings", ("faster_whisper", "av"), "audio", sound)
    here = [one for one in speech.catalog() if speech.cached(one)]
    if here:
        yield Finding("speech model", OK, ", ".join(here))
    else:
        yield Finding("speech model", sound, "none on this computer", "endonym models get whisper-base")


def _processor() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text(errors="replace").split()) if info.is_file() else set()
    fast = sorted(flags & {"amx_bf16", "avx512_bf16"})
    words = f"{cores} cores" if cores != 1 else "1 core"
    if fast:
        return Finding("processor", OK, f"{words}, fast bf16 ({', '.join(fast)})")
    return Finding("processor", OK, f"{words}, no fast bf16: trains in 32-bit numbers" if flags else words)


def _memory() -> Finding:
    info = Path("/proc/meminfo")
    if not info.is_file():
        return Finding("memory", OK, "not measured on this system")
    values = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
    free = int(values.get("MemAvailable", "0 kB").split()[0]) * 1024
    detail = f"{size(free)} free"
    if free < NEED_MEMORY:
        return Finding("memory", NOTE, detail, f"close other programs: the default training wants {size(NEED_MEMORY)}")
    return Finding("memory", OK, detail)


def _disk(project: Project | None) -> Finding:
    where = project.path if project else Path.cwd()
    free = shutil.disk_usage(where).free
    detail = f"{size(free)} free in {where}"
    if free < NEED_DISK:
        return Finding("disk", NOTE, detail, f"free some: base model, checkpoints and exports want {size(NEED_DISK)}")
    return Finding("disk", OK, detail)


def _sqlite(project: Project | None) -> Finding:
    """Whether the place of the database allows WAL: some network mounts do not."""
    folder = project.path if project else Path.cwd()
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".endonym-check-") as temporary:
            connection = sqlite3.connect(Path(temporary) / "check.db")
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            connection.close()
    except (OSError, sqlite3.Error) as error:
        return Finding("SQLite", BAD, f"cannot write in {folder}: {error}", "choose a folder you may write to")
    if mode != "wal":
        return Finding("SQLite", NOTE, f"{sqlite3.sqlite_version}, no WAL in {folder}", "keep projects on a local disk")
    return Finding("SQLite", OK, f"{sqlite3.sqlite_version}, WAL works in {folder}")


def _base(project: Project | None) -> Finding:
    from endonym.models.weights import cached, catalog, validate

    base = project.base if project else "smollm2-135m"
    if base in catalog():
        folder = cached(base)
        if folder is None:
            return Finding("base model", BAD, f"{base} is not on this computer", f"endonym models get {base}")
        return Finding("base model", OK, f"{base} in {folder}")
    try:
        return Finding("base model", OK, str(validate(Path(base).expanduser())))
    except (EndonymError, OSError) as error:
        hint = getattr(error, "hint", "") or "set 'base' in endonym.toml to a model of: endonym models ls"
        return Finding("base model", BAD, getattr(error, "message", str(error)), hint)


def _sources(project: Project) -> Iterator[Finding]:
    names = [name for source in project.sources for name in source["files"]]
    gone = [name for name in names if not (project.path / name).is_file()]
    if gone:
        fix = f"put them back, or: endonym sources remove {gone[0]}"
        yield Finding("sources", BAD, f"{len(gone)} of {len(names)} files are gone: {', '.join(gone[:3])}", fix)
    elif not names:
        yield Finding("sources", NOTE, "none yet", "endonym add FILES...")
    else:
        yield Finding("sources", OK, f"{len(names)} files")
