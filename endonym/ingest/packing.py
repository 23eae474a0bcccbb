"""Read files packed with gzip, bzip2 or xz as if they were not, piece by piece."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from endonym.errors import DataError, Problem

CHUNK = 2**18
_MAGIC = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"))
BROKEN = (EOFError, OSError, zlib.error, lzma.LZMAError)
"""What the three decompressors raise for a damaged or cut file."""


def packing(path: Path) -> str:
    """`gzip`, `bzip2`, `xz`, or `""` for a file that is not packed; told by its first bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError:
        return ""
    return next((name for start, name in _MAGIC if head.startswith(start)), "")


def bare_name(path: Path) -> Path:
    """The path without the ending of the packing: `dump.xml.bz2` is a packed `dump.xml`."""
    return path.with_suffix("") if path.suffix.lower() in (".gz", ".bz2", ".xz") else path


def open_bytes(path: Path) -> BinaryIO:
    """The unpacked bytes of a file as a file. Raises DataError when it is not there."""
    kind = packing(path)
    try:
        if kind == "gzip":
            return cast(BinaryIO, gzip.open(path, "rb"))
        if kind == "bzip2":
            return cast(BinaryIO, bz2.open(path, "rb"))
        return cast(BinaryIO, lzma.open(path, "rb")) if kind == "xz" else path.open("rb")
    except OSError as error:
        raise DataError(Problem(path.name, 0, "", f"cannot be read: {error.strerror}", "check the name and the permissions")) from error  # fmt: skip


def damaged(path: Path, error: BaseException) -> DataError:
    """What to say when the packing of a file is broken."""
    what = f"the {packing(path) or 'packed'} file is damaged or cut short: {error}"
    return DataError(Problem(path.name, 0, "", what, "get the file again; compare its size with the original"))


def chunks(path: Path, size: int = CHUNK) -> Iterator[bytes]:
    """The unpacked bytes in pieces, one at a time in memory. Raises DataError for a damaged file."""
    with open_bytes(path) as file:
        while True:
            try:
                chunk = file.read(size)
            except BROKEN as error:
                raise damaged(path, error) from error
            if not chunk:
                return
            yield chunk


@contextmanager
def unpacked(path: Path) -> Iterator[BinaryIO]:
    """The unpacked bytes of a file inside the block. Raises DataError for a file that is not there or turns out to be damaged."""
    with open_bytes(path) as file:
        try:
            yield file
        except BROKEN as error:
            if not packing(path):
                raise
            raise damaged(path, error) from error


def head(path: Path, size: int) -> bytes:
    """The first unpacked bytes."""
    return next(chunks(path, size), b"")
