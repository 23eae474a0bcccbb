"""Read e-books (EPUB 2 and 3) chapter by chapter in the order of the book; tables of contents go to the ledger."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from endonym.errors import DataError, Problem
from endonym.ingest.archive import Archive, kind_of, opened
from endonym.ingest.document import Block, Settings, records, texts
from endonym.ingest.markup import take_apart
from endonym.types import Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".epub",)
PAGES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")
FONT_MASKS = (b"http://www.idpf.org/2008/embedding", b"http://ns.adobe.com/pdf/enc#RC")
"""Methods that only make fonts unusable elsewhere; the text is not encrypted by them."""


class Config(Settings):
    """Settings of reading e-books."""


def sniff(sample: Sample) -> float:
    """High where an archive holds an e-book, whatever its name."""
    return 0.95 if sample.form and kind_of(sample.path) == "epub" else 0.0


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Doc` for every heading and paragraph of the chapters in order."""
    with opened(path) as archive:
        book = _book(archive)
        yield from records(path, "epub", _blocks(archive, book), cfg, book.language)


def head(path: Path) -> Iterator[str]:
    """The texts of the book in order, for a look at its language."""
    with opened(path) as archive:
        yield from texts(_blocks(archive, _book(archive)))


class _Book:
    """Reads the package document (EPUB 3.3, chapter 5): language, files and the order they are read in."""

    def __init__(self, folder: str):
        self.folder = folder
        self.done: list[str] = []
        self.language = ""
        self.files: dict[str, tuple[str, str, str]] = {}
        """Id -> (name in the archive, media type, properties)."""
        self.order: list[tuple[str, bool]] = []
        self.told: set[str] = set()
        self._inside = ""

    def start(self, tag: str, values: dict[str, str]) -> None:
        self._inside = tag
        if tag == "item":
            name = posixpath.normpath(posixpath.join(self.folder, unquote(values.get("href", "").partition("#")[0])))
            self.files[values.get("id", "")] = (name, values.get("media-type", ""), values.get("properties", ""))
        elif tag == "itemref":
            self.order.append((values.get("idref", ""), values.get("linear") == "no"))
        elif tag == "reference" and values.get("type") == "toc":
            name = unquote(values.get("href", "").partition("#")[0])
            self.told.add(posixpath.normpath(posixpath.join(self.folder, name)))

    def end(self, tag: str) -> None:
        self._inside = ""

    def data(self, data: str) -> None:
        if self._inside == "language" and not self.language:
            self.language = data.strip()


def _book(archive: Archive) -> _Book:
    """The package document that the container names. Raises DataError for a book under digital rights management."""
    if "META-INF/encryption.xml" in archive.names:
        methods = re.findall(
            rb"EncryptionMethod[^>]*Algorithm=[\"']([^\"']+)", archive.whole("META-INF/encryption.xml")
        )
        if any(not method.startswith(FONT_MASKS) for method in methods):
            raise DataError(Problem(archive.path.name, 0, "", "the book is encrypted (digital rights management)",
                                    "ask its publisher for a copy that can be read"))  # fmt: skip
    found = re.findall(rb"full-path\s*=\s*[\"']([^\"']+)", archive.whole("META-INF/container.xml"))
    names = [name.decode("utf-8", "replace") for name in found]
    name = next((name for name in names if name in archive.names), "")
    if not name:
        raise archive.problem("META-INF/container.xml", "it names no package document that is there",
                              "save or export the book again")  # fmt: skip
    book = _Book(posixpath.dirname(name))
    list(archive.parse(name, book))
    if not book.order:
        raise archive.problem(name, "the book says in no order what is read (its spine is empty)", "export it again")
    return book


def _blocks(archive: Archive, book: _Book) -> Iterator[Block]:
    seen = set()
    tables = 0
    for ident, _ in book.order:
        name, kind, properties = book.files.get(ident, ("", "", ""))
        if name in seen or (kind not in PAGES and not name.endswith((".xhtml", ".html", ".htm"))):
            continue
        seen.add(name)
        raw = archive.whole(name)
        if b"<!ENTITY" in raw[:65536]:
            raise archive.problem(name, "it declares entities of its own", "no book needs them; export the book again")
        contents = "nav" in properties.split() or name in book.told
        blocks = take_apart(_text(raw)).blocks
        for number, block in enumerate(blocks):
            if number == 0 and block.level and _is_title(raw, block.text) and len(blocks) > 1:
                # <title> of a chapter file is for the window it is shown in; the heading stands in the text.
                block = replace(block, level=0, drop="title", detail="title of the file, not shown in the book")
            elif contents and not block.cells:
                block = replace(block, level=0, drop="contents", detail="table of contents")
            place = f"{posixpath.basename(name)} line {block.place}"
            yield replace(block, place=place, table=block.table and tables + block.table)
        tables += max((block.table for block in blocks), default=0)


def _is_title(raw: bytes, text: str) -> bool:
    found = re.search(r"<title[^>]*>(.*?)</title>", _text(raw[:65536]), re.S | re.I)
    return found is not None and " ".join(unescape(found[1]).split()) == " ".join(text.split())


def _text(raw: bytes) -> str:
    """XHTML is UTF-8 or UTF-16 unless it declares something else."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", "replace")
    found = re.match(rb"\s*<\?xml[^>]*encoding=[\"']([A-Za-z0-9._-]+)", raw.removeprefix(b"\xef\xbb\xbf"))
    try:
        return raw.decode(found[1].decode() if found else "utf-8-sig", "replace").lstrip("\ufeff")
    except LookupError:
        return raw.decode("utf-8", "replace")
