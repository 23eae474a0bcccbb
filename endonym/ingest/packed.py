"""Random access to the text of a StarDict or dictd dictionary, plain or packed with dictzip (which is gzip)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from endonym.errors import DataError, Problem
from endonym.ingest.packing import CHUNK, packing, unpacked

MAX_BYTES = 2 * 2**30
"""Most bytes that are unpacked to disk; the largest dictionaries there are have half of it."""
MAX_INDEX = 256 * 2**20


@contextmanager
def opened(path: Path, needed: int) -> Iterator[IO[bytes]]:
    """Open for seeking; a packed file is unpacked to disk as far as the index needs it. Raises DataError."""
    if needed > MAX_BYTES:
        what = f"the index names {needed / 2**30:.1f} GiB of text"
        raise DataError(
            Problem(path.name, 0, "", what, "it is damaged, or not the index of this file; fetch both again")
        )
    if not packing(path):
        with path.open("rb") as plain:
            yield plain
        return
    with tempfile.TemporaryFile() as whole:
        with unpacked(path) as packed:
            while whole.tell() < needed and (chunk := packed.read(min(CHUNK, needed - whole.tell()))):
                whole.write(chunk)
        yield whole


def index_bytes(path: Path) -> bytes:
    """An index read whole, unpacked where it is packed. Raises DataError when it is larger than any index is."""
    with unpacked(path) as file:
        raw = file.read(MAX_INDEX + 1)
    if len(raw) > MAX_INDEX:
        what = f"an index of more than {MAX_INDEX // 2**20} MiB"
        raise DataError(Problem(path.name, 0, "", what, "check that it is the index of a dictionary"))
    return raw


def at(file: IO[bytes], offset: int, size: int, path: Path, entry: int, headword: str) -> bytes:
    """The bytes of one article. Raises DataError when the file ends before them."""
    file.seek(offset)
    raw = file.read(size)
    if len(raw) < size:
        raise DataError(Problem(path.name, entry, headword, "the text ends before this article does",
                                "the file was cut off, or belongs to another index; copy or download it again"))  # fmt: skip
    return raw
