"""Find how a file is encoded and read it line by line in bounded memory, refusing what is not text."""

from __future__ import annotations

import codecs
import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from endonym.errors import DataError, Problem
from endonym.ingest.packing import CHUNK, unpacked

MAX_LINE = 8 * 2**20
"""Longest line in bytes. A longer one is a file without line breaks, or not text."""

MAX_WHOLE = 64 * 2**20
"""Largest file in bytes of a format that can only be read whole (a JSON array, a page of HTML)."""

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8 with a byte order mark"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32 with a byte order mark"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32 with a byte order mark"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16 (little-endian) with a byte order mark"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16 (big-endian) with a byte order mark"),
)
MAGIC = (
    (b"PK\x03\x04", "a ZIP archive or an office document", "unpack it, or save the document as plain text or CSV"),
    (b"%PDF", "a PDF", "extract its text first (for example with pdftotext) and add the text file"),
    (b"\xd0\xcf\x11\xe0", "an old office document", "save it as plain text or CSV"),
    (b"SQLite format 3", "an SQLite database", "export the table as CSV"),
    (b"\x89PNG", "an image", "transcribe it, or run text recognition first"),
    (b"\xff\xd8\xff", "an image", "transcribe it, or run text recognition first"),
)
_UNDEFINED_1252 = frozenset(b"\x81\x8d\x8f\x90\x9d")


@dataclass(frozen=True)
class Encoding:
    """How a file is encoded: `name` for Python, `said` for people."""

    name: str
    said: str


def detect(path: Path, whole: bool = False) -> Encoding:
    """Return the encoding of a text file after looking at all of it.

    Raises DataError when the file is missing, empty, binary, in two encodings at once, or has a line longer than `MAX_LINE`
    bytes (with `whole`: is larger than `MAX_WHOLE`). Windows-1252 is told from Latin-1 by the bytes that only it uses.
    """
    head, size = _open_head(path)
    if not head.strip() and size <= len(head):
        raise _problem(path, 0, "the file is empty", "take it out, or put its text back")
    for start, name, said in BOMS:
        if head.startswith(start):
            _check_lines(path, name, whole, size)
            return Encoding(name, said)
    for start, what, repair in MAGIC:
        if head.startswith(start):
            raise _problem(path, 0, f"this is {what}, not text", repair)
    if b"\0" in head:
        found = _utf16(head)
        if found is None:
            raise _problem(path, 1 + head[: head.index(b"\0")].count(b"\n"), "this is a binary file (it has NUL bytes)",
                           "add a text file: save or export the material as plain text, CSV or JSONL")  # fmt: skip
        _check_lines(path, found.name, whole, size)
        return found
    return _eight_bit(path, whole, size)


def check(path: Path, name: str, whole: bool = False) -> Encoding:
    """Return the encoding the user named after checking that the file is in it; raises DataError with the line if not."""
    _, size = _open_head(path)
    try:
        codecs.lookup(name)
    except LookupError:
        raise _problem(
            path, 0, f"there is no encoding '{name}'", "name one such as utf-8, utf-16, cp1252", "encoding"
        ) from None
    _check_lines(path, name, whole, size)
    return Encoding(name, f"{name} (as set)")


def declared(path: Path) -> Encoding:
    """The encoding an XML file declares, UTF-8 when it declares none. Only its head is looked at: the parser checks the rest."""
    head, _ = _open_head(path)
    if not head.strip():
        raise _problem(path, 0, "the file is empty", "take it out, or put its text back")
    for start, name, said in BOMS:
        if head.startswith(start):
            return Encoding(name, said)
    for start, what, repair in MAGIC:
        if head.startswith(start):
            raise _problem(path, 0, f"this is {what}, not text", repair)
    found = re.match(rb"\s*<\?xml[^>]*encoding=[\"']([A-Za-z0-9._-]+)", head)
    name = found[1].decode() if found else "utf-8"
    try:
        codecs.lookup(name)
    except LookupError:
        raise _problem(path, 1, f"there is no encoding '{name}'", "correct the XML declaration", "encoding") from None
    return Encoding(name, f"{name.upper()}, as the file declares" if found else "UTF-8")


def lines(path: Path, encoding: str = "") -> Iterator[tuple[int, str]]:
    """Yield `(line number, text with its line end)`; `encoding` is found when it is not given. Raises DataError."""
    name = (check(path, encoding) if encoding else detect(path)).name
    with unpacked(path) as file:
        # newline="" keeps line ends as they are; only \n, \r and \r\n end a line, not the form feed or U+2028 of user text.
        yield from enumerate(io.TextIOWrapper(file, encoding=name, newline=""), 1)


def whole_text(path: Path, encoding: str = "") -> str:
    """Read a file that can only be understood whole. Raises DataError."""
    name = (check(path, encoding, True) if encoding else detect(path, True)).name
    with unpacked(path) as file:
        return io.TextIOWrapper(file, encoding=name).read()


def _open_head(path: Path) -> tuple[bytes, int]:
    try:
        if path.is_dir():
            raise _problem(path, 0, "this is a folder", "name the files in it")
        with unpacked(path) as file:
            return file.read(CHUNK), path.stat().st_size
    except OSError as error:
        raise _problem(path, 0, f"cannot be read: {error.strerror}", "check the name and the permissions") from error


def _problem(path: Path, line: int, what: str, repair: str, field: str = "") -> DataError:
    return DataError(Problem(path.name, line, field, what, repair))


def _too_long(path: Path, line: int, size: int, whole: bool) -> DataError:
    if whole:
        return _problem(path, 0, f"{size / 2**20:.0f} MiB are too much for a file that has to be read whole",
                        f"split it into files of at most {MAX_WHOLE // 2**20} MiB, or use a format of one record a line")  # fmt: skip
    return _problem(path, line, f"the line is longer than {MAX_LINE // 2**20} MiB",
                    "break it into one record or paragraph a line; check that this is a text file")  # fmt: skip


def _check_lines(path: Path, name: str, whole: bool, size: int) -> None:
    """Decode everything once in chunks; raises DataError at the first line that is too long or is not in this encoding."""
    if whole and size > MAX_WHOLE:
        raise _too_long(path, 0, size, True)
    decoder = codecs.getincrementaldecoder(name)()
    line, length, seen = 1, 0, False
    total = 0
    with unpacked(path) as file:
        while True:
            chunk = file.read(CHUNK)
            total += len(chunk)
            if whole and total > MAX_WHOLE:
                raise _too_long(path, 0, total, True)
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                good = error.object[: error.start].decode(name, errors="ignore")
                raise _problem(path, line + good.count("\n"), f"not {name}: {error.reason} at byte {error.start} of a block",
                               "save the file as UTF-8, or name its encoding in the source's settings") from None  # fmt: skip
            if "\0" in text:
                raise _problem(path, line + text[: text.index("\0")].count("\n"), "this is a binary file (it has NUL characters)",
                               "add a text file")  # fmt: skip
            seen = seen or bool(text.strip("\ufeff \t\r\n"))
            newlines = text.count("\n") + (text.count("\r") - text.count("\r\n"))
            length = length + len(text) if not newlines else len(text) - max(text.rfind("\n"), text.rfind("\r"))
            if not whole and length > MAX_LINE:
                raise _too_long(path, line, size, False)
            line += newlines
            if not chunk:
                break
    if not seen:
        raise _problem(path, 0, "the file is empty", "take it out, or put its text back")


def _eight_bit(path: Path, whole: bool, size: int) -> Encoding:
    """UTF-8, or Latin-1 or Windows-1252 when every line that is not ASCII is not UTF-8 either."""
    if whole and size > MAX_WHOLE:
        raise _too_long(path, 0, size, True)
    utf8_line = other_line = line = 0
    high = bytearray()
    controls = letters = 0
    total = 0
    with unpacked(path) as file:
        while raw := file.readline(MAX_WHOLE if whole else MAX_LINE):
            line += 1
            total += len(raw)
            if whole and total > MAX_WHOLE:
                raise _too_long(path, 0, total, True)
            if len(raw) >= MAX_LINE and not whole:
                raise _too_long(path, line, size, False)
            if b"\0" in raw:
                raise _problem(path, line, "this is a binary file (it has NUL bytes)", "add a text file")
            if raw.isascii():
                letters += len(raw)
                controls += _controls(raw)
                continue
            try:
                raw.decode()
                utf8_line = utf8_line or line
            except UnicodeDecodeError:
                other_line = other_line or line
                letters += len(raw)
                controls += _controls(raw)
                if len(high) < 200_000:
                    high += bytes(byte for byte in raw if byte > 127)
    if controls > max(2, letters // 100) and other_line:
        raise _problem(
            path, other_line, "this is a binary file", "save or export the material as plain text, CSV or JSONL"
        )
    if not other_line:
        return Encoding("utf-8", "UTF-8")
    if utf8_line:
        raise _mixed(path, utf8_line, other_line)
    return _single_byte(path, bytes(high), other_line, letters)


def _controls(raw: bytes) -> int:
    return len(raw) - len(
        raw.translate(None, b"\x01\x02\x03\x04\x05\x06\x07\x08\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19")
    )


def _mixed(path: Path, utf8_line: int, other_line: int) -> DataError:
    return _problem(
        path, other_line, f"mixed encodings: this line is not UTF-8, line {utf8_line} is (and not plain ASCII)",
        "two files were probably joined; convert each to UTF-8 first (iconv -f WINDOWS-1252 -t UTF-8) and join them again",
    )  # fmt: skip


def _single_byte(path: Path, high: bytes, line: int, letters: int) -> Encoding:
    repair = 'save the file as UTF-8, or name its encoding in the source\'s settings (encoding = "cp1251")'
    if _UNDEFINED_1252 & set(high) or len(high) > 0.35 * letters:
        raise _problem(path, line, "neither UTF-8 nor Latin-1, and which 8-bit encoding it is cannot be told", repair)
    if any(0x80 <= byte <= 0x9F for byte in high):
        return Encoding("cp1252", "Windows-1252")
    return Encoding("latin-1", "Latin-1")


def _utf16(head: bytes) -> Encoding | None:
    """UTF-16 without a byte order mark: the byte order in which nearly everything is a letter, a mark, or common punctuation."""
    even = head[: len(head) // 2 * 2]
    best: tuple[float, str, str] = (0.97, "", "")
    for name, said in (("utf-16-le", "little-endian"), ("utf-16-be", "big-endian")):
        text = even.decode(name, errors="replace")
        if "\0" in text or not ("\n" in text or " " in text):
            continue
        good = sum(
            char in "\r\n\t" or (unicodedata.category(char)[0] in "LMNPZS" and char != "\ufffd") for char in text
        )
        share = good / len(text)
        # Letters of one block come in runs; read in the wrong byte order they scatter over many blocks.
        share -= len({ord(char) >> 8 for char in text}) / 400
        if share > best[0]:
            best = (share, name, said)
    return Encoding(best[1], f"UTF-16 ({best[2]}) without a byte order mark") if best[1] else None
