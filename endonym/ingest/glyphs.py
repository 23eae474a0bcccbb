"""The characters of a PDF page with their places, put together to lines as they stand in the file."""

from __future__ import annotations

import ctypes
import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from endonym.ingest.layout import Line
from endonym.ingest.running import Page

GAP = 1.5
"""Gap inside a line, in heights of its letters, that is wider than a space between words: a column or a cell ends."""
GAP_RTL = 4.0
"""The same where letters run from right to left: numbers inside run the other way, which looks like a gap."""
UNREADABLE = 0.3
"""Share of characters whose font does not tell what they are, from which a page is of no use."""
SCAN_CHARS = 60
SCAN_AREA = 0.5
"""A page with fewer characters, and with pictures over more of it than this, is a scan."""
MOST_CHARS = 200_000
"""Characters of one page; more are no page of text."""
HYPHEN = "\x02"
"""What PDFium gives for a hyphen that it takes for one at a line's end."""
Char = tuple[str, float, float, float, float, int]
"""Character, left, bottom, right, top, and its number on the page."""


def page_text(page: Any, number: int) -> Page:
    """The lines of a page, in the order of the file, with what stands askew apart."""
    import pypdfium2.raw as pdfium

    text = page.get_textpage()
    try:
        count = min(text.count_chars(), MOST_CHARS)
        unknown = sum(pdfium.FPDFText_HasUnicodeMapError(text, i) == 1 for i in range(0, count, 5))
        lines: list[Line] = []
        odd: list[str] = []
        controls: list[str] = []
        total = strange = 0
        for angle, chars in _runs(pdfium, text, count):
            total += len(chars)
            strange += sum(unicodedata.category(char[0][0]) in ("Co", "Cn", "Cc") for char in chars)
            controls += [char[0] for char in chars if unicodedata.category(char[0][0]) == "Cc"]
            chars = [char for char in chars if unicodedata.category(char[0][0]) != "Cc"]
            if angle:
                odd.append("".join(char[0] for char in chars).strip())
            else:
                lines += [_sized(pdfium, text, line, index) for line, index in _lines(chars)]
        unreadable = bool(total) and (5 * unknown > UNREADABLE * total or strange > UNREADABLE * total)
        scan = total < SCAN_CHARS and _pictures(pdfium, page) > SCAN_AREA
    finally:
        text.close()
    return Page(
        number, lines, scan=scan, unreadable=unreadable, odd=[line for line in odd if line], controls="".join(controls)
    )


def _runs(pdfium: Any, text: Any, count: int) -> Iterator[tuple[bool, list[Char]]]:
    """Characters up to a change of direction, and whether they stand at an angle.

    Spaces and line ends that PDFium puts in are only believed where there is room for a space: it sees one before marks that
    stand over a letter, and behind letters that are put together of several shapes.
    """
    box = pdfium.FS_RECTF()
    at = ctypes.byref(box)
    chars: list[Char] = []
    high = ""
    space = askew = False
    for i in range(count):
        code = pdfium.FPDFText_GetUnicode(text, i)
        char = chr(code)
        if 0xD800 <= code < 0xDC00:
            high = char
            continue
        if high:
            char, high = (high + char).encode("utf-16", "surrogatepass").decode("utf-16", "replace"), ""
        if char in "\r\n" or (char == " " and pdfium.FPDFText_IsGenerated(text, i) == 1):
            space = True
            continue
        if not code:
            continue
        pdfium.FPDFText_GetLooseCharBox(text, i, at)
        now = ("-" if char == HYPHEN else char, box.left, box.bottom, box.right, box.top, i)
        if space or not chars:
            turned = _askew(pdfium, text, i)
            if chars and (turned or askew):
                yield askew, chars
                chars = []
            if space and chars and _room(chars, now):
                chars.append((" ", now[1], now[2], now[1], now[4], i))
            askew, space = turned, False
        chars.append(now)
    if chars:
        yield askew, chars


def _room(chars: Sequence[Char], char: Char) -> bool:
    """Whether there is room for a space before `char`, or it begins another line."""
    if unicodedata.category(char[0][0]) == "Mn":
        return False
    size = max(char[4] - char[2], 1.0)
    last = chars[-1]
    if last[0].isspace() or abs((char[2] + char[4]) - (last[2] + last[4])) > size:
        return True
    # Marks have places of their own: the letter under them, one or two before, says where the word ends.
    before = [
        one for one in chars[-4:]
        if abs(one[2] - last[2]) < 0.5 * size and abs(one[1] - last[1]) < 2 * size
        and not one[0].isspace() and unicodedata.category(one[0][0]) != "Mn"
    ] or [last]  # fmt: skip
    gap = max(char[1] - max(one[3] for one in before), min(one[1] for one in before) - char[3])
    return gap > 0.1 * size


def _askew(pdfium: Any, text: Any, index: int) -> bool:
    angle = pdfium.FPDFText_GetCharAngle(text, index)
    return angle > 0 and abs(angle % 6.2832) > 0.1 and abs(angle % 6.2832 - 6.2832) > 0.1


def _lines(chars: Sequence[Char]) -> Iterator[tuple[Line, int]]:
    """Cut a run where it jumps to another line or over a wide gap."""
    now: list[Char] = []
    last: Char | None = None
    for char in chars:
        if not char[0].isspace() and last is not None:
            size = max(last[4] - last[2], char[4] - char[2], 1.0)
            gap = max(char[1] - last[3], last[1] - char[3])
            rtl = unicodedata.bidirectional(char[0][0]) in ("R", "AL", "AN") or unicodedata.bidirectional(
                last[0][0]
            ) in ("R", "AL")
            apart = abs((char[2] + char[4]) - (last[2] + last[4])) / 2
            if gap > (GAP_RTL if rtl else GAP) * size or apart > 0.75 * size:
                yield from _line(now)
                now = []
        now.append(char)
        if not char[0].isspace():
            last = char
    yield from _line(now)


def _line(chars: Sequence[Char]) -> Iterator[tuple[Line, int]]:
    text = "".join(char[0] for char in chars).strip()
    seen = [char for char in chars if not char[0].isspace()]
    if not seen:
        return
    word = next(
        (k for k, char in enumerate(chars) if k and char[0].isspace() and not chars[0][0].isspace()), len(chars)
    )
    first = [char for char in chars[:word] if not char[0].isspace()] or seen
    line = Line(
        text, min(c[1] for c in seen), min(c[2] for c in seen), max(c[3] for c in seen), max(c[4] for c in seen),
        0.0, 0.0, max(c[3] for c in first) - min(c[1] for c in first),
    )  # fmt: skip
    yield line, seen[len(seen) // 2][5]


def _sized(pdfium: Any, text: Any, line: Line, index: int) -> Line:
    """The line with the size of its letters, which is that of the font as it is scaled on the page, and where they stand."""
    matrix = pdfium.FS_MATRIX()
    size = pdfium.FPDFText_GetFontSize(text, index)
    if size > 0 and pdfium.FPDFText_GetMatrix(text, index, ctypes.byref(matrix)):
        size *= math.hypot(matrix.c, matrix.d)
    x, y = ctypes.c_double(), ctypes.c_double()
    base = y.value if pdfium.FPDFText_GetCharOrigin(text, index, ctypes.byref(x), ctypes.byref(y)) else line.y0
    return replace(line, size=round(size, 1) if size > 0.5 else line.y1 - line.y0, base=base)


def _pictures(pdfium: Any, page: Any) -> float:
    """Share of the page that pictures cover, counted as if none lay over another."""
    width, height = page.get_size()
    covered = 0.0
    for item in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=3):
        left, bottom, right, top = item.get_bounds()
        covered += max(0.0, min(right, width) - max(left, 0)) * max(0.0, min(top, height) - max(bottom, 0))
    return covered / (width * height) if width and height else 0.0
