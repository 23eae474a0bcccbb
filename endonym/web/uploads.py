"""Uploads, written to the project as they come: under a random folder, by a name made safe, within limits."""

from __future__ import annotations

import os
import re
import secrets
import unicodedata
from collections.abc import AsyncIterator, Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from endonym.errors import UsageError
from endonym.store.process import identity, is_alive
from endonym.web.errors import TooLargeError

MOST_FILES = 1000
MOST_ROWS = 50_000_000
"""Lines of one file."""
LONGEST_NAME = 120
"""Bytes of a file's name."""
LONGEST_FIELD = 4096
FOLDER = "material"
FOUND = "found.jsonl"
"""In the state folder: what each source was found to be when it was added, a line each."""
MARK = ".receiving"
"""In an upload's folder until something names its files: the process that receives it."""
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


@dataclass
class Received:
    """One file that came."""

    path: Path
    bytes: int = 0
    lines: int = 0


class Receiver:
    """Writes the files of one multipart body into a new folder in `place`; `settle` removes those that nothing names (`named`).

    What was received by a process that died before that is removed when the next files come.
    """

    def __init__(self, place: Path, content_type: str, named: Callable[[], Container[Path]]):
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise UsageError("files come as multipart/form-data", "Such as: curl -F files=@dictionary.csv ...")
        self.files: list[Received] = []
        self.fields: dict[str, str] = {}
        self._header: list[bytes] = [b"", b""]
        self._headers: dict[bytes, bytes] = {}
        self._file: BinaryIO | None = None
        self._field, self._value = "", b""
        self._ended = False
        try:
            self._parser = MultipartParser(options[b"boundary"], {
                "on_part_begin": self._begin, "on_header_field": self._name, "on_header_value": self._said,
                "on_header_end": self._header_end, "on_headers_finished": self._open, "on_part_data": self._data,
                "on_part_end": self._close, "on_end": self._end,
            })  # fmt: skip
        except FormParserError as error:
            raise UsageError(f"the body is no multipart/form-data: {error}", "Let a library make it.") from error
        self._named = named
        for left in abandoned(place):
            settle(left, named())
        self.folder = new_folder(place)
        (self.folder / MARK).write_text(identity(), encoding="utf-8")

    async def take(self, body: AsyncIterator[bytes]) -> None:
        """Read the body to its end. Raises UsageError for one that is broken, TooLargeError over a limit."""
        try:
            async for chunk in body:
                if chunk:
                    self._parser.write(chunk)
            self._parser.finalize()
        except FormParserError as error:
            raise UsageError(f"the body is no multipart/form-data: {error}", "Let a library make it.") from error
        finally:
            self._close()
        if not self._ended:
            raise UsageError("the body ended before its last part did", "Send it again.")

    def settle(self) -> None:
        """Remove what came and is named by nothing."""
        self._close()
        settle(self.folder, self._named())

    def _begin(self) -> None:
        self._headers, self._header = {}, [b"", b""]

    def _name(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]
        self._short()

    def _said(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]
        self._short()

    def _short(self) -> None:
        if sum(map(len, self._header)) > LONGEST_FIELD or len(self._headers) > 16:
            raise TooLargeError("a part has headers longer than any file needs", "Let a library make the body.")

    def _header_end(self) -> None:
        self._headers[self._header[0].lower()] = self._header[1]
        self._header = [b"", b""]

    def _open(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if kind != b"form-data":
            raise UsageError("a part has no Content-Disposition: form-data", "Let a library make the body.")
        self._field, self._value = options.get(b"name", b"").decode("utf-8", "replace"), b""
        if len(self.fields) > 32:
            raise TooLargeError("more fields than any request needs", "Send files as files.")
        if b"filename" not in options:
            return
        if len(self.files) >= MOST_FILES:
            raise TooLargeError(f"more than {MOST_FILES} files at once", "Send them in several requests.")
        taken = {one.path.name.casefold() for one in self.files}
        path = self.folder / free_name(safe_name(options[b"filename"].decode("utf-8", "replace")), taken)
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb")
        self.files.append(Received(path))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file is None:
            self._value += data[start:end]
            if len(self._value) > LONGEST_FIELD:
                raise TooLargeError("a field is longer than any needs to be", "Send files as files.")
            return
        one = self.files[-1]
        one.bytes += end - start
        one.lines += data.count(b"\n", start, end)
        if one.lines > MOST_ROWS:
            raise TooLargeError(f"more than {MOST_ROWS:,} lines in one file", "Split it.")
        self._file.write(data[start:end])

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        elif self._field:
            self.fields[self._field] = self._value.decode("utf-8", "replace")
        self._field = ""

    def _end(self) -> None:
        self._ended = True


def new_folder(place: Path) -> Path:
    """A new folder with a random name in `place`, which is made when it is missing. Raises UsageError where that leads elsewhere."""
    place.mkdir(parents=True, exist_ok=True)
    if place.is_symlink() or not place.is_dir():
        raise UsageError(f"'{place.name}' is no folder of its own here", "Remove the link, or the file.")
    folder = place / secrets.token_hex(8)
    folder.mkdir(mode=0o700)
    return folder


def settle(folder: Path, named: Container[Path]) -> None:
    """Remove the files of an upload that nothing names, and its folder where nothing is left."""
    for path in folder.iterdir():
        if path.name == MARK or path not in named:
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def abandoned(place: Path) -> Iterator[Path]:
    """Folders of uploads whose process ended before anything named them."""
    for mark in place.glob(f"*/{MARK}") if place.is_dir() and not place.is_symlink() else ():
        if not mark.is_symlink() and is_alive(mark.read_text(encoding="utf-8")) is False:
            yield mark.parent


def safe_name(said: str) -> str:
    """The last part of a client's path with letters, digits and `-_. ()` only, short enough for every file system.

    It is kept at all because readers learn languages and order from names (`es-cap-03.txt`).
    """
    leaf = unicodedata.normalize("NFC", re.split(r"[/\\]", said)[-1])
    kept = "".join(c if unicodedata.category(c)[0] in "LMN" or c in "-_. ()" else "_" for c in leaf).strip(" .")
    stem, dot, ending = kept.rpartition(".")
    if not dot:
        stem, ending = kept, ""
    stem = stem.strip(" .") or "file"
    ending = ending.encode()[:16].decode("utf-8", "ignore")
    room = LONGEST_NAME - len(ending.encode()) - 1
    stem = stem.encode()[:room].decode("utf-8", "ignore").rstrip(" .")
    name = f"{stem}.{ending}" if ending else stem
    return f"_{name}" if RESERVED.match(name) else name


def free_name(name: str, taken: set[str]) -> str:
    """The name, with a number before its ending where another file has it already."""
    path, number = Path(name), 1
    while name.casefold() in taken:
        number += 1
        name = f"{path.stem}-{number}{path.suffix}"
    return name
