"""Tell pictures, PDF and recordings by their first bytes, whatever the file is called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from endonym.errors import DataError, MissingError, Problem

STARTS = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"%PDF-", "PDF"),
    (b"fLaC", "FLAC"),
    (b"OggS", "Ogg"),
    (b"ID3", "MP3"),
)
EXTRAS = {"PNG": "ocr", "JPEG": "ocr", "TIFF": "ocr", "PDF": "documents",
          "FLAC": "audio", "Ogg": "audio", "MP3": "audio", "WAV": "audio"}  # fmt: skip
"""What is to be installed to read them."""


def form(path: Path) -> str:
    """`PNG`, `JPEG`, `TIFF`, `PDF`, `WAV`, `FLAC`, `Ogg` or `MP3`; `""` for anything else, a missing file too."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return ""
    for start, name in STARTS:
        if head.startswith(start):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "WAV"
    # An MP3 without a tag begins with a frame: eleven bits set, layer III, a bit rate and a sampling rate that exist.
    if (
        len(head) > 3
        and head[0] == 0xFF
        and head[1] & 0xE6 == 0xE2
        and head[2] >> 4 not in (0, 15)
        and head[2] & 12 != 12
    ):
        return "MP3"
    return ""


def unread(path: Path, found: str, absent: Sequence[MissingError]) -> DataError:
    """Why a picture, PDF or recording has no reader: the packages that its reader needs are not installed, mostly."""
    extra = EXTRAS.get(found, "")
    needs = next((error for error in absent if f"[{extra}]" in error.hint), None)
    what = f"this is {found}, and {needs.message}" if needs else f"no reader recognises this {found}"
    repair = needs.hint if needs else "name one with --reader, or save it in another format"
    return DataError(Problem(path.name, 0, "", what, repair))
