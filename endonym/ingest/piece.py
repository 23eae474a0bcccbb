"""The piece of a page or of a recording where a doubtful passage stands, to be looked at or heard beside its text."""

from __future__ import annotations

import io
from pathlib import Path

from endonym.types import Doc

MARGIN = 12
"""Pixels shown around a passage."""


def of(project: Path, record: Doc) -> tuple[bytes, str]:
    """The piece as WAV or PNG, and its media type. Raises DataError where the file cannot be read any more."""
    path = project / record.origin.rpartition(":")[0]
    if "time" in record.meta:
        from endonym.ingest.sound import wav_piece

        return wav_piece(path, *record.meta["time"]), "audio/wav"
    return _picture(path, record), "image/png"


def _picture(path: Path, record: Doc) -> bytes:
    from endonym.ingest import picture

    page = picture.turned(picture.page(path, int(record.meta["page"])), float(record.meta.get("angle", 0)))
    left, top, right, bottom = record.meta["box"]
    edges = (
        max(0, left - MARGIN),
        max(0, top - MARGIN),
        min(page.width, right + MARGIN),
        min(page.height, bottom + MARGIN),
    )
    out = io.BytesIO()
    page.crop(edges).save(out, "PNG")
    return out.getvalue()
