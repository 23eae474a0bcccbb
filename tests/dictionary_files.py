"""Write StarDict and dictd dictionaries as their specifications say, so that tests can read them back."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def stardict(
    path: Path,
    articles: Sequence[tuple[str, Sequence[tuple[str, bytes]]]],
    spellings: Mapping[str, int] | None = None,
    same: str = "",
    wide: bool = False,
    packed: bool = False,
) -> Path:
    """Write `path` (.ifo) and the files beside it; an article is its headword and its parts as `(kind, bytes)`."""
    index, text = b"", b""
    for headword, parts in articles:
        body = b""
        for number, (kind, raw) in enumerate(parts):
            body += b"" if same else kind.encode()
            if same and number == len(parts) - 1:
                body += raw
            else:
                body += struct.pack(">I", len(raw)) + raw if kind.isupper() else raw + b"\0"
        index += headword.encode() + b"\0" + struct.pack(">QI" if wide else ">II", len(text), len(body))
        text += body
    about = {"version": "3.0.0", "bookname": path.stem, "wordcount": len(articles), "idxfilesize": len(index)}
    about |= {"sametypesequence": same} if same else {}
    about |= {"idxoffsetbits": 64} if wide else {}
    lines = "".join(f"{key}={value}\n" for key, value in about.items())
    path.write_text(f"StarDict's dict ifo file\n{lines}", encoding="utf-8")
    path.with_suffix(".idx").write_bytes(index)
    path.with_suffix(".dict.dz" if packed else ".dict").write_bytes(gzip.compress(text, mtime=0) if packed else text)
    if spellings:
        pieces = (word.encode() + b"\0" + struct.pack(">I", number) for word, number in spellings.items())
        path.with_suffix(".syn").write_bytes(b"".join(pieces))
    return path


def dictd(path: Path, articles: Sequence[tuple[Sequence[str], str]], packed: bool = False) -> Path:
    """Write `path` (.index) and its text; an article is its headwords and its text."""
    lines, text = [], b""
    for headwords, body in articles:
        raw = body.encode()
        lines += [f"{word}\t{base64(len(text))}\t{base64(len(raw))}\n" for word in headwords]
        text += raw
    path.write_text("".join(lines), encoding="utf-8", newline="")
    path.with_suffix(".dict.dz" if packed else ".dict").write_bytes(gzip.compress(text, mtime=0) if packed else text)
    return path


def base64(number: int) -> str:
    """A number as dictd writes it."""
    digits = DIGITS[number % 64]
    while number := number // 64:
        digits = DIGITS[number % 64] + digits
    return digits
