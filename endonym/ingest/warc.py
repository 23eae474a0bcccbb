"""Read and write web archives (WARC 1.0 and 1.1, ISO 28500), record by record, and undo how HTTP packed a page."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from typing import BinaryIO
from uuid import NAMESPACE_URL, uuid5

from endonym.errors import DataError, Problem
from endonym.ingest.encoding import BOMS, MAX_WHOLE
from endonym.ingest.packing import BROKEN, damaged, open_bytes

MAX_HEADER = 2**16
MAX_HEADERS = 500


@dataclass(frozen=True)
class WebRecord:
    """One record: its headers in lower case, and its content up to `MAX_WHOLE` bytes."""

    number: int
    headers: Mapping[str, str]
    content: bytes
    size: int
    """Bytes of the content as the archive has it."""

    @property
    def kind(self) -> str:
        """`response`, `request`, `warcinfo`, ..."""
        return self.headers.get("warc-type", "").lower()

    @property
    def url(self) -> str:
        return self.headers.get("warc-target-uri", "").strip("<>")


@dataclass(frozen=True)
class Response:
    """An HTTP answer: its status, its headers in lower case, and its body, unpacked; `problem` says why it is not."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    problem: str = ""

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str:
        message = Message()
        message["content-type"] = self.headers.get("content-type", "")
        return str(message.get_content_charset("") or "")


def web_records(path: Path) -> Iterator[WebRecord]:
    """Yield the records of a WARC file, packed or not. Raises DataError where it is damaged; memory holds one record."""
    with open_bytes(path) as file:
        number = 0
        try:
            while headers := _headers(path, file, number + 1):
                number += 1
                yield _record(path, file, number, headers)
        except BROKEN as error:
            raise damaged(path, error) from error


def _record(path: Path, file: BinaryIO, number: int, headers: dict[str, str]) -> WebRecord:
    length = headers.get("content-length", "")
    if not length.isdecimal():
        raise _problem(path, number, "Content-Length", f"'{length}' is no number of bytes")
    size = left = int(length)
    content = bytearray()
    while left:
        piece = file.read(min(left, 2**18))
        if not piece:
            raise _problem(path, number, "Content-Length", f"the file ends {left:,} bytes before the record does")
        left -= len(piece)
        if len(content) < MAX_WHOLE:
            content += piece
    return WebRecord(number, headers, bytes(content[:MAX_WHOLE]), size)


def _headers(path: Path, file: BinaryIO, number: int) -> dict[str, str]:
    """Headers of the next record, empty at the end of the file."""
    line = b"\r\n"
    while line and not line.strip():
        line = file.readline(MAX_HEADER)
    if not line:
        return {}
    if not line.startswith(b"WARC/"):
        raise _problem(path, number, "", f"a record begins with WARC/1.1, not with {line[:30]!r}")
    lines: list[str] = []
    for _ in range(MAX_HEADERS):
        line = file.readline(MAX_HEADER)
        if line in (b"\r\n", b"\n"):
            return parse_headers(lines) or {"warc-type": ""}
        if not line:
            break
        lines.append(line.decode("utf-8", errors="replace").rstrip("\r\n"))
    raise _problem(path, number, "", "the headers do not end")


def parse_headers(lines: list[str]) -> dict[str, str]:
    """Header lines by name in lower case; a line that begins with white space goes on with the one before."""
    found: dict[str, str] = {}
    name = ""
    for line in lines:
        if line[:1] in (" ", "\t") and name:
            found[name] += " " + line.strip()
        else:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            found[name] = value.strip()
    return found


def _problem(path: Path, number: int, field: str, what: str) -> DataError:
    return DataError(Problem(path.name, number, field, f"record {number}: {what}", "get the archive again; it is damaged or cut short"))  # fmt: skip


def http_response(content: bytes) -> Response:
    """Take an HTTP answer apart; chunks are joined and gzip and deflate undone, in bounded memory."""
    head, _, body = content.partition(b"\r\n\r\n")
    if b"\n\n" in head:
        head, _, body = content.partition(b"\n\n")
    first, *rest = head.decode("latin-1").splitlines() or [""]
    status = re.match(r"HTTP/[\d.]+\s+(\d{3})", first)
    if not status:
        return Response(0, problem="it does not begin as an HTTP answer")
    headers = parse_headers(rest)
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = _joined(body)
    plain, problem = unpacked(body, headers.get("content-encoding", ""))
    return Response(int(status[1]), headers, plain, problem)


def unpacked(body: bytes, encodings: str) -> tuple[bytes, str]:
    """The body without gzip and deflate, and the reason where that is not possible."""
    for encoding in reversed([one.strip().lower() for one in encodings.split(",") if one.strip()]):
        if encoding == "identity":
            continue
        if encoding not in ("gzip", "x-gzip", "deflate"):
            return b"", f"packed with {encoding}, which is not read"
        if encoding != "deflate" and not body.startswith(b"\x1f\x8b"):
            # Archivers often unpack a page and leave its header as it was.
            continue
        for window in (47, -15):
            decoder = zlib.decompressobj(window)
            try:
                body, full = decoder.decompress(body, MAX_WHOLE), True
            except zlib.error:
                full = False
            if full:
                break
        else:
            return b"", f"its {encoding} is damaged"
        if decoder.unconsumed_tail:
            return b"", f"more than {MAX_WHOLE // 2**20} MiB unpacked"
    return body, ""


def _joined(body: bytes) -> bytes:
    """The chunks of a body put together (RFC 9112, section 7.1); a body whose chunks were joined before is left as it is."""
    out, place = bytearray(), 0
    while True:
        end = body.find(b"\r\n", place, place + 200)
        size = body[place:end].partition(b";")[0].strip() if end >= 0 else b""
        if not re.fullmatch(rb"[0-9a-fA-F]{1,8}", size):
            return bytes(out) if out else body
        length = int(size, 16)
        if not length:
            return bytes(out)
        out += body[end + 2 : end + 2 + length]
        place = end + 2 + length + 2


def text_of(body: bytes, charset: str) -> str:
    """A page as text. Servers are often wrong about the charset: what is valid UTF-8 is UTF-8, whatever they say."""
    for start, name, _ in BOMS:
        if body.startswith(start):
            return body.decode(name, errors="replace")
    inside = re.search(rb"<(?:meta|\?xml)\b[^>]{0,200}?(?:charset|encoding)\s*=\s*[\"']?\s*([\w-]+)", body[:4096], re.I)
    named = [charset, inside[1].decode("ascii") if inside else ""]
    # The two whose bytes may happen to be valid UTF-8 as well.
    first = [name for name in named if name.lower().startswith(("utf-16", "iso-2022"))]
    for name in (*first, "utf-8", *named, "cp1252"):
        try:
            text = body.decode(name) if name else "\0"
        except (LookupError, UnicodeDecodeError, ValueError):
            continue
        if "\0" not in text:
            return text
    return body.decode("latin-1")


def write_response(
    file: BinaryIO, url: str, when: datetime, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    """Add a response record to an open .warc.gz, a gzip member of its own, as archives have it."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if not re.search(r"[\r\n]", name + value))
    content = f"HTTP/1.1 {status} -\r\n{lines}\r\n".encode("utf-8", errors="replace") + body
    stamp = when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    head = (
        f"WARC/1.1\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:{uuid5(NAMESPACE_URL, url + stamp)}>\r\n"
        f"WARC-Date: {stamp}\r\nWARC-Target-URI: {url}\r\nContent-Type: application/http;msgtype=response\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    file.write(gzip.compress(head.encode() + content + b"\r\n\r\n", mtime=0))
