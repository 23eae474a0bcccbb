"""The words of a PDF page with their places, put together to lines as they stand in the file."""

from __future__ import annotations

import ctypes
import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from endonym.ingest.layout import Line
from endonym.ingest.running import Page

GAP = 1.8
"""Gap inside a line, in sizes of its letters, that is wider than a space between words: a column or a cell ends."""
GAP_RTL = 4.5
"""The same where letters run from right to left: numbers inside run the other way, which looks like a gap."""
SPACE = 0.1
"""Least width of a space, in sizes of the letters."""
UNREADABLE = 0.3
"""Share of characters whose font does not tell what they are, from which a page is of no use."""
SCAN_CHARS = 60
SCAN_AREA = 0.5
"""A page with fewer characters, and with pictures over more of it than this, is a scan."""
MOST_CHARS = 200_000
"""Characters of one page; more are no page of text."""
HYPHEN = "\x02"
"""What PDFium gives for a hyphen that it takes for one at a line's end."""
_WORD = re.compile(r"[^ \r\n\ufffe\x02]+[\ufffe\x02]?|[\ufffe\x02]")


@dataclass(frozen=True)
class Word:
    """A run of letters with the places of its first and last one."""

    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    base: float
    size: float
    askew: bool
    spaced: bool
    """Whether a space of the file's own stands before it."""

    @property
    def rtl(self) -> bool:
        return unicodedata.bidirectional(self.text[0]) in ("R", "AL", "AN") or unicodedata.bidirectional(
            self.text[-1]
        ) in ("R", "AL", "AN")


def page_text(page: Any, number: int) -> Page:
    """The lines of a page, in the order of the file, with what stands askew apart."""
    import pypdfium2.raw as pdfium

    text = page.get_textpage()
    try:
        count = min(text.count_chars(), MOST_CHARS)
        unknown = sum(pdfium.FPDFText_HasUnicodeMapError(text, i) == 1 for i in range(0, count, 5))
        words = list(_words(_Reader(pdfium, text), _characters(pdfium, text, count)))
        kinds = [unicodedata.category(char) for word in words for char in word.text]
        controls = "".join(char for word in words for char in word.text if unicodedata.category(char) == "Cc")
        strange = sum(kind in ("Co", "Cn", "Cc") for kind in kinds)
        unreadable = bool(kinds) and (5 * unknown > UNREADABLE * len(kinds) or strange > UNREADABLE * len(kinds))
        scan = len(kinds) < SCAN_CHARS and _pictures(pdfium, page) > SCAN_AREA
    finally:
        text.close()
    lines: list[Line] = []
    odd: list[str] = []
    for run in _runs(words):
        line = _line(run)
        if line.text and run[0].askew:
            odd.append(line.text)
        elif line.text:
            lines.append(line)
    return Page(number, lines, scan=scan, unreadable=unreadable, odd=odd, controls=controls)


def _characters(pdfium: Any, text: Any, count: int) -> str:
    """The page's characters, one for each number that PDFium gives them."""
    whole = text.get_text_range(0, count) if count else ""
    if len(whole) == count and not any("\ud800" <= char < "\ue000" for char in whole):
        return whole
    codes = (pdfium.FPDFText_GetUnicode(text, i) for i in range(count))
    return "".join(chr(code) if code else " " for code in codes)


def _words(reader: _Reader, chars: str) -> Iterator[Word]:
    end = 0
    for found in _WORD.finditer(chars):
        own = any(char == " " and not reader.generated(end + k) for k, char in enumerate(chars[end : found.start()]))
        end = found.end()
        text = found[0].replace("\ufffe", "-").replace(HYPHEN, "-")
        if "\ud800" <= max(text) < "\ue000" or any("\ud800" <= char < "\ue000" for char in text):
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        yield reader.word(text, found.start(), found.end() - 1, found[0], own)


class _Reader:
    """Asks PDFium for places, in the same few structures again and again."""

    def __init__(self, pdfium: Any, text: Any):
        self.pdfium, self.text = pdfium, text
        self.box, self.matrix = pdfium.FS_RECTF(), pdfium.FS_MATRIX()
        self.x, self.y = ctypes.c_double(), ctypes.c_double()

    def generated(self, index: int) -> bool:
        """Whether a character is not in the file: PDFium puts spaces in where it sees a gap."""
        return bool(self.pdfium.FPDFText_IsGenerated(self.text, index) == 1)

    def word(self, text: str, first: int, last: int, raw: str, spaced: bool) -> Word:
        while last > first and unicodedata.category(raw[last - first]) == "Mn":
            # Marks have places of their own; the letter under them says where the word ends.
            last -= 1
        pdfium, box = self.pdfium, self.box
        pdfium.FPDFText_GetLooseCharBox(self.text, first, ctypes.byref(box))
        x0, y0, x1, y1 = box.left, box.bottom, box.right, box.top
        if last > first:
            pdfium.FPDFText_GetLooseCharBox(self.text, last, ctypes.byref(box))
            x0, y0, x1, y1 = min(x0, box.left), min(y0, box.bottom), max(x1, box.right), max(y1, box.top)
        pdfium.FPDFText_GetCharOrigin(self.text, first, ctypes.byref(self.x), ctypes.byref(self.y))
        size, askew = self._font(first)
        return Word(text, x0, y0, x1, y1, self.y.value, size or y1 - y0, askew, spaced)

    def _font(self, index: int) -> tuple[float, bool]:
        """Size of a letter as it is scaled on the page, and whether it is turned."""
        # A page that is drawn upside down has letters of less than no size.
        size = abs(self.pdfium.FPDFText_GetFontSize(self.text, index))
        if not self.pdfium.FPDFText_GetMatrix(self.text, index, ctypes.byref(self.matrix)):
            return 0.0, False
        across, up = self.matrix.c, self.matrix.d
        turned = abs(self.matrix.b) > 0.1 * math.hypot(self.matrix.a, self.matrix.b)
        return round(size * math.hypot(across, up), 1), turned


def _runs(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Words in a row on one line: a run ends where they jump to another line, over a wide gap, or turn."""
    now: list[Word] = []
    for word in words:
        if now:
            last = now[-1]
            size = max(last.size, word.size, 1.0)
            gap = max(word.x0 - last.x1, last.x0 - word.x1)
            wide = gap > (GAP_RTL if word.rtl or last.rtl else GAP) * size
            if word.askew != last.askew or (not word.askew and (wide or abs(word.base - last.base) > 0.75 * size)):
                yield now
                now = []
        now.append(word)
    if now:
        yield now


def _line(words: Sequence[Word]) -> Line:
    """Words as one line; a space that PDFium put in is believed where there is room for one."""
    text = words[0].text
    first = len(words)
    for number, (last, word) in enumerate(pairwise(words), 1):
        gap = max(word.x0 - last.x1, last.x0 - word.x1)
        mark = unicodedata.category(word.text[0]) == "Mn"
        if word.spaced or (not mark and (word.askew or gap > SPACE * max(last.size, word.size))):
            text += " "
            first = min(first, number)
        text += word.text
    text = "".join(char for char in text if unicodedata.category(char) != "Cc") if not text.isprintable() else text
    middle = words[len(words) // 2]
    head = words[:first]
    width = max(word.x1 for word in head) - min(word.x0 for word in head)
    return Line(
        text.strip(), min(w.x0 for w in words), min(w.y0 for w in words), max(w.x1 for w in words),
        max(w.y1 for w in words), middle.size, middle.base, width,
    )  # fmt: skip


def _pictures(pdfium: Any, page: Any) -> float:
    """Share of the page that pictures cover, counted as if none lay over another."""
    width, height = page.get_size()
    covered = 0.0
    for item in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=3):
        left, bottom, right, top = item.get_bounds()
        covered += max(0.0, min(right, width) - max(left, 0)) * max(0.0, min(top, height) - max(bottom, 0))
    return covered / (width * height) if width and height else 0.0
