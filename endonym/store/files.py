"""Files written and told apart safely: content hashes, and JSON that is never half there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any


def cache_folder() -> Path:
    """Where things are kept that all projects of a user share, such as base models: `$ENDONYM_CACHE`, else `endonym` in the user's cache folder (XDG)."""
    own = os.environ.get("ENDONYM_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "endonym"


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_folder(folder: Path, known: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the SHA-256 over names and contents of all files below `folder`; `known` has hashes of some that were just computed."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        digest.update(f"{name}:{known.get(name) or file_hash(path)}\n".encode())
    return digest.hexdigest()


def whole_lines(path: Path) -> list[str]:
    """Lines of a JSONL file, none where there is no file; a last one cut off by a crash is removed from it.

    Lines end at line feeds alone: a text may hold other characters that Unicode takes for line ends.
    """
    if not path.is_file():
        return []
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        with path.open("r+b") as file:
            file.truncate(end)
    return [line for line in content[:end].decode().split("\n") if line]


def one_line(data: Any) -> str:
    """JSON that nobody takes for several lines: what Unicode counts among line ends beside the line feed is written as escapes."""
    return json.dumps(data, ensure_ascii=False).translate({code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)})


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk before going on: a rename that is on it before its file loses both."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, data: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one."""
    write_text(path, json.dumps(data, ensure_ascii=False, indent=1))


def write_text(path: Path, text: str) -> None:
    """Write text so that a reader sees the old file or the new one, never half of one."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
