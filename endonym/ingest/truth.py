"""Text a person typed from a scanned page, in a file beside it: plain lines, a list of entries, ALTO or PAGE XML."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.parsers import expat

from endonym.data.edits import ErrorRates, distance, error_rates
from endonym.errors import DataError, Problem

TEXTS = (".gt.txt", ".alto.xml", ".page.xml", ".xml")
LIST = ".gt.tsv"
MAX_BYTES = 16 * 2**20


def typed(picture: Path) -> Path | None:
    """The file with the whole text of a page, the first there is of `TEXTS`."""
    for suffix in TEXTS:
        path = picture.with_name(picture.stem + suffix)
        if path.is_file() and (suffix != ".xml" or _is_layout(path)):
            return path
    return None


def typed_list(picture: Path) -> Path | None:
    """The table of entries typed from a page; such a list may leave something out."""
    path = picture.with_name(picture.stem + LIST)
    return path if path.is_file() else None


def beside(picture: Path) -> list[Path]:
    """All files of ground truth beside a page, the one that is used first."""
    found = [picture.with_name(picture.stem + suffix) for suffix in (*TEXTS, LIST)]
    return [path for path in found if path.is_file() and (path.suffix != ".xml" or _is_layout(path))]


def lines(path: Path) -> list[tuple[int, str]]:
    """(line in the file, text) of every typed line or entry. Raises DataError for a file that is not what its name says."""
    if path.stat().st_size > MAX_BYTES:
        raise DataError(Problem(path.name, 0, "", "too large for the text of one page", "keep one file for each page"))
    if path.suffix == ".xml":
        return _Layout(path).lines
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(Problem(path.name, 0, "", "not UTF-8", "save the typed text as UTF-8")) from error
    if path.suffix == ".tsv":
        rows = csv.reader(text.split("\n"), delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(number, "\t".join(row)) for number, row in enumerate(rows, 1) if number > 1 and row]
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]


def page_errors(typed_lines: Sequence[str], found: str) -> ErrorRates:
    """Errors of a page. The sign for a hyphen at a line's end (U+00AC) counts as the hyphen it stands for."""
    return error_rates("\n".join(typed_lines).replace("\u00ac", "-"), found.replace("\u00ac", "-"))


def list_errors(path: Path, found: Sequence[str]) -> tuple[int, ErrorRates]:
    """(entries found without error, errors of all) of a typed list: each `head` against the line that begins most like it."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        column = "head" if "head" in (rows.fieldnames or ()) else (rows.fieldnames or [""])[0]
        heads = [" ".join(str(row[column] or "").split()) for row in rows]
    starts = [" ".join(line.split()) for line in found]
    exact, total = 0, ErrorRates()
    for head in filter(None, heads):
        errors = min((_start_errors(head, line) for line in starts), default=len(head))
        exact += not errors
        total += ErrorRates(errors, len(head), bool(errors), 1)
    return exact, total


def _start_errors(head: str, line: str) -> int:
    if line.startswith(head):
        return 0
    return min(distance(head, line[:length]) for length in range(max(0, len(head) - 2), len(head) + 3))


def _is_layout(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(2000).lower()
    return b"<alto" in head or b"<pcgts" in head


class _Layout:
    """The lines of an ALTO (String CONTENT) or PAGE (TextEquiv of a TextLine) file, in its order."""

    def __init__(self, path: Path):
        self.path = path
        self.lines: list[tuple[int, str]] = []
        self._inside: list[str] = []
        self._text: list[str] = []
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler, self._parser.EndElementHandler = self._start, self._end
        self._parser.CharacterDataHandler = self._data
        self._parser.EntityDeclHandler = self._entity
        try:
            self._parser.Parse(path.read_bytes(), True)
        except expat.ExpatError as error:
            raise DataError(Problem(path.name, error.lineno, "", f"not well-formed XML: {expat.ErrorString(error.code)}",
                                    "export the page again")) from error  # fmt: skip

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(" ")[2]
        self._inside.append(tag)
        if tag == "TextLine":
            self._line, self._text = self._parser.CurrentLineNumber, []
        elif tag in ("String", "HYP"):
            self._text.append(attributes.get("CONTENT", ""))
        elif tag == "SP":
            self._text.append(" ")

    def _end(self, tag: str) -> None:
        self._inside.pop()
        if tag.rpartition(" ")[2] == "TextLine" and "".join(self._text).strip():
            self.lines.append((self._line, "".join(self._text).strip()))

    def _data(self, data: str) -> None:
        # In PAGE a line's words have texts of their own, which are the line's again.
        if self._inside[-3:] == ["TextLine", "TextEquiv", "Unicode"]:
            self._text.append(data)

    def _entity(self, *_: Any) -> None:
        raise DataError(Problem(self.path.name, self._parser.CurrentLineNumber, "", "it declares entities",
                                "take the DOCTYPE out: layout files need none"))  # fmt: skip
