"""The head of a file as the readers look at it to say whether they can read it."""

from __future__ import annotations

import io
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from endonym.errors import DataError, Problem
from endonym.ingest.archive import OLD_OFFICE, kind_of, opened
from endonym.ingest.encoding import Encoding, declared, detect
from endonym.ingest.forms import form
from endonym.ingest.nested import at, paths
from endonym.ingest.packing import bare_name, packing, unpacked
from endonym.ingest.packing import head as unpacked_head
from endonym.ingest.table import DELIMITERS, Bad, Layout, Row, find_layout, is_json, rows

HEAD_CHARS = 64_000
NUM_ROWS = 200
WHOLE = (".json", ".html", ".htm", ".xhtml")
"""Extensions of formats without lines, which are read whole."""
PACKED_TEXT = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".tab", ".txt", ".md")
"""Extensions of formats whose readers take a packed file as if it were not."""
XML = (".tmx", ".xml", ".lift", ".tei", ".xlf", ".xliff", ".sdlxliff", ".mqxliff", ".mxliff", ".eaf", ".flextext")
"""Extensions of formats without lines, which are streamed; so is what begins with an XML declaration."""
DOCUMENTS = (".docx", ".docm", ".odt", ".epub", ".pdf")

_PROLOGUE = re.compile(r"\ufeff?(?:\s|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[.*?\]\s*)?>)*<(?:\w+:)?([\w.-]+)", re.S)
"""What stands before the first element of an XML file, and that element's name."""


@dataclass(frozen=True)
class Sample:
    """What is seen of a file before it is read."""

    path: Path
    encoding: Encoding
    head: str
    layout: Layout | None = None
    columns: list[str] = field(default_factory=list)
    """Column names of a table, keys of JSON objects; empty for other files."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    packed: bool = False
    """Whether the file is packed with gzip, bzip2 or xz (`head` is unpacked) or holds packed pages: for readers with `PACKED`."""
    form: str = ""
    """What kind of file it is by its first bytes when it is no text (`PDF`, `ZIP`, `PNG`); its reader looks into it itself."""

    @property
    def delimiter(self) -> str:
        """The delimiter in words, `""` when there is none."""
        return DELIMITERS.get(self.layout.delimiter, self.layout.delimiter) if self.layout else ""

    def begins(self, *elements: str) -> bool:
        """Whether this is XML whose outermost element has one of these names."""
        found = _PROLOGUE.match(self.head)
        return found is not None and found[1] in elements

    def column(self, name: str) -> list[str]:
        """The texts of one column of the sample."""
        found = [at(row, name) for row in self.rows]
        return [
            str(value) for values in found if values for value in (values if isinstance(values, list) else [values])
        ]


def take(path: Path) -> Sample:
    """Look at a file. Raises DataError when it is empty, binary or in mixed encodings."""
    kind, start = packing(path), _start(path)
    if start.startswith(b"{\\rtf"):
        raise DataError(
            Problem(path.name, 0, "", "an RTF document, which no reader takes", "open it and save it as .docx or .odt")
        )
    suffix = ".xml" if _is_xml(start) else bare_name(path).suffix.lower()
    if (kind and suffix not in PACKED_TEXT) or start.startswith(b"WARC/"):
        head = unpacked_head(path, 4 * HEAD_CHARS).decode("utf-8-sig", errors="replace")[:HEAD_CHARS]
        return Sample(path, Encoding("utf-8", f"packed with {kind}" if kind else "a web archive"), head, packed=True)
    if other := form(path) or _document(path, start):
        return Sample(path, Encoding("", other), "", form=other)
    encoding = declared(path) if suffix in XML else detect(path, whole=suffix in WHOLE)
    with unpacked(path) as file:
        head = io.TextIOWrapper(file, encoding=encoding.name, errors="replace").read(HEAD_CHARS)
    layout = None
    if is_json(path) and suffix != ".xml":
        found = _rows(path, encoding.name, None)
        if not any(found):
            raise _no_object(path, encoding.name)
    elif suffix in (".csv", ".tsv", ".tab") or (suffix not in WHOLE + XML and _is_table(head)):
        try:
            layout = find_layout(path, encoding.name)
        except DataError:
            if suffix in (".csv", ".tsv", ".tab"):
                raise
            return Sample(path, encoding, head)
        found = _rows(path, encoding.name, layout)
    else:
        return Sample(path, encoding, head)
    columns = list(layout.header) if layout else list(dict.fromkeys(key for row in found for key in paths(row)))
    return Sample(path, encoding, head, layout, columns, found)


def _start(path: Path) -> bytes:
    """The first bytes of a file as it lies there; none of one that is missing."""
    try:
        with path.open("rb") as file:
            return file.read(1024)
    except OSError:
        return b""


def _is_xml(start: bytes) -> bool:
    """Whether a file begins as XML does and is no page of HTML, whatever its name ends in."""
    start = start.removeprefix(b"\xef\xbb\xbf").replace(b"\0", b"").lstrip(b"\xff\xfe \t\r\n")
    return start.startswith(b"<?xml") and b"<html" not in start.lower()


def _document(path: Path, head: bytes) -> str:
    """`ZIP` for an archive that is a document. Raises DataError for what is called a document and is none, and for other archives."""
    if path.suffix.lower() == ".pdf" and b"%PDF-" in head:
        return "PDF"
    if head.startswith(b"PK\x03\x04") and kind_of(path):
        return "ZIP"
    named = path.suffix.lower() in DOCUMENTS and b"\0" in head
    if head.startswith((b"PK\x03\x04", OLD_OFFICE)) or named:
        with opened(path):
            return ""
    return ""


def _rows(path: Path, encoding: str, layout: Layout | None) -> list[dict[str, Any]]:
    found = []
    for number, row in enumerate(rows(path, encoding, layout)):
        if isinstance(row, Row):
            found.append(row.values)
        if number >= NUM_ROWS:
            break
    return found


def _no_object(path: Path, encoding: str) -> DataError:
    """What is wrong with a JSON file in whose head there is no object with a field."""
    bad = next((item for item in rows(path, encoding) if isinstance(item, Bad)), None)
    what = "it holds no object with fields"
    return DataError(bad.problem if bad else Problem(path.name, 0, "", what, 'write objects: {"field": "value"}'))


def _is_table(head: str) -> bool:
    """Whether lines without a telling name are a table: nearly all have the same number of tabs."""
    counts = Counter(line.count("\t") for line in head.splitlines()[:200] if line.strip())
    if not counts:
        return False
    tabs, number = counts.most_common(1)[0]
    return tabs > 0 and number >= 0.95 * sum(counts.values())
