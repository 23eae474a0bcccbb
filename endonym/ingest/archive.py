"""Open documents that are ZIP archives of XML (DOCX, ODT, EPUB) with care: no bombs, no odd names, no entities, bounded memory."""

from __future__ import annotations

import posixpath
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.parsers import expat

from endonym.errors import DataError, Problem

CHUNK = 2**16
MOST_MEMBERS = 20_000
MOST_BYTES = 2**29
"""Unpacked bytes of one member; the longest books are some 10 MiB of XML."""
MOST_RATIO = 250
"""Unpacked bytes for each packed one, looked at from `RATIO_FROM` on: office XML packs to a tenth, an empty table to a hundredth."""
RATIO_FROM = 2**23
OLD_OFFICE = b"\xd0\xcf\x11\xe0"


class Archive:
    """An archive whose names and sizes have been looked at; its members are only ever streamed, never written to disk."""

    def __init__(self, path: Path, file: zipfile.ZipFile):
        self.path = path
        self._file = file
        self.names = [info.filename for info in file.infolist() if not info.is_dir()]

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of a member piece by piece. Raises DataError when it is missing, broken, or unpacks to too much."""
        try:
            info = self._file.getinfo(name)
        except KeyError:
            raise self.problem(
                name, "this part is missing", "save the document again with the program that made it"
            ) from None
        done = 0
        try:
            with self._file.open(info) as member:
                while chunk := member.read(CHUNK):
                    done += len(chunk)
                    if done > MOST_BYTES or (done > RATIO_FROM and done > MOST_RATIO * max(1, info.compress_size)):
                        raise self.problem(name, f"it unpacks to more than {done // 2**20} MiB, far more than a text does",
                                           "this may be a ZIP bomb; if it is a real document, save it in smaller files")  # fmt: skip
                    yield chunk
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
            raise self.problem(
                name, f"this part is broken: {error}", "copy the file again, or save it again"
            ) from error

    def whole(self, name: str, most: int = 2**26) -> bytes:
        """All bytes of a member that can only be understood whole."""
        found = bytearray()
        for chunk in self.chunks(name):
            found += chunk
            if len(found) > most:
                raise self.problem(
                    name, f"more than {most // 2**20} MiB in one part", "split the document into chapters"
                )
        return bytes(found)

    def parse(self, name: str, state: Any) -> Iterator[Any]:
        """Stream an XML member through `state.start`, `state.end` and `state.data`; yields what they put into `state.done`."""
        yield from parse(self.chunks(name), state, lambda line, what, fix: self.problem(name, what, fix, line))

    def problem(self, name: str, what: str, repair: str, line: int = 0) -> DataError:
        """An error that names the part of the archive, and the line in it."""
        where = f"{name} line {line}" if line else name
        return DataError(Problem(self.path.name, 0, where, what, repair))


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open an archive. Raises DataError when it is no ZIP file, is encrypted, or has names that lead out of it."""
    with path.open("rb") as file:
        head = file.read(8)
    if not head:
        raise DataError(Problem(path.name, 0, "", "the file is empty", "take it out, or put the document back"))
    if head.startswith(OLD_OFFICE):
        raise DataError(Problem(path.name, 0, "", "an office document that is protected by a password, or in an old format",
                                "open it, take the password off, and save it as .docx or .odt"))  # fmt: skip
    try:
        with zipfile.ZipFile(path) as file:
            _check(path, file)
            yield Archive(path, file)
    except zipfile.BadZipFile as error:
        raise DataError(Problem(path.name, 0, "", f"a broken archive: {error}",
                                "copy the file again, or open it in the program that made it and save it again")) from error  # fmt: skip


def _check(path: Path, file: zipfile.ZipFile) -> None:
    members = file.infolist()
    if len(members) > MOST_MEMBERS:
        raise DataError(Problem(path.name, 0, "", f"{len(members):,} parts, a document has fewer than {MOST_MEMBERS:,}",
                                "check that this is the document and no archive of files"))  # fmt: skip
    for info in members:
        parts = info.filename.replace("\\", "/").split("/")
        if ".." in parts or parts[0] == "" or re.match(r"[A-Za-z]:", info.filename):
            raise DataError(Problem(path.name, 0, info.filename, "a name that leads out of the archive",
                                    "do not trust this file; get it from its maker, or save it again"))  # fmt: skip
        if info.flag_bits & 0x1:
            raise DataError(Problem(path.name, 0, info.filename, "this part is encrypted",
                                    "open the document, take the password off, and save it again"))  # fmt: skip


def parse(chunks: Iterator[bytes], state: Any, problem: Callable[[int, str, str], DataError]) -> Iterator[Any]:
    """Run expat over chunks; tags come without their name space. Entity declarations are refused: no document needs them."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    # A document type without its definition at hand may name entities; they come as text below, and nothing is fetched.
    parser.UseForeignDTD(False)

    def entity(*_: Any) -> None:
        raise problem(parser.CurrentLineNumber, "it declares entities of its own",
                      "no document of this kind needs them and they can be an attack; save the document again")  # fmt: skip

    parser.EntityDeclHandler = entity
    parser.StartElementHandler = lambda tag, values: state.start(local(tag), _Attributes(values))
    parser.EndElementHandler = lambda tag: state.end(local(tag))
    parser.CharacterDataHandler = state.data
    ended = False
    while not ended:
        chunk = next(chunks, b"")
        ended = not chunk
        try:
            parser.Parse(chunk, ended)
        except expat.ExpatError as error:
            what = f"not well-formed XML: {expat.ErrorString(error.code)}"
            raise problem(
                error.lineno, what, "open the document in the program that made it and save it again"
            ) from error
        if state.done:
            yield from state.done
            state.done.clear()


class _Attributes(dict[str, str]):
    """Attributes by local name."""

    def __init__(self, values: dict[str, str]):
        super().__init__((local(key), value) for key, value in values.items())


def local(name: str) -> str:
    """A name without its name space."""
    return name.rpartition(" ")[2]


def kind_of(path: Path) -> str:
    """`docx`, `odt` or `epub` for an archive that is one by what is in it, else `""`. Raises no error."""
    try:
        with zipfile.ZipFile(path) as file:
            names = set(file.namelist()[:MOST_MEMBERS])
            kind = b""
            if "mimetype" in names and file.getinfo("mimetype").file_size < 200:
                kind = file.read("mimetype").strip()
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, EOFError):
        return ""
    if kind == b"application/epub+zip" or "META-INF/container.xml" in names:
        return "epub"
    if kind.startswith(b"application/vnd.oasis.opendocument.text"):
        return "odt"
    if "[Content_Types].xml" in names and any(posixpath.dirname(name) == "word" for name in names):
        return "docx"
    return ""
