"""Read PDF files that have text, in reading order; headers, footers and page numbers go to the ledger, pages that are scans are recognised."""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from endonym import plugins
from endonym.errors import DataError, MissingError
from endonym.ingest import tesseract
from endonym.ingest.document import Block, Settings, records, texts
from endonym.ingest.glyphs import page_text
from endonym.ingest.layout import Line, Paragraph, paragraphs, regions, went_on
from endonym.ingest.names import split_name
from endonym.ingest.pdfium import opened
from endonym.ingest.running import Page, running
from endonym.types import Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

REQUIRES = {"pypdfium2": "documents"}
EXTENSIONS = (".pdf",)
AROUND = 6
"""Pages before and after a page that are looked at for what comes again."""
NO_TEXT = "no_text_layer"
FACING_PAGES, FACING_CHARS = 12, 200
"""Pages looked at to tell whether left and right pages translate each other, and the text a page must have for it."""
MOST_WORDS = 300_000
"""Different words remembered, to tell hyphens that belong to a word; more are not counted."""


class Config(Settings):
    """Settings of reading PDF files."""

    running: bool = Field(False, description="Keep headers, footers and page numbers in the text.")
    pages: bool = Field(
        False, description="Page N of one file translates page N of the other: sentences are paired page by page."
    )

    facing: Literal["", "left", "right"] = Field(
        "",
        description="Side in `language` of a book whose left (even) and right pages translate each other; none when empty.",
    )
    scans: bool = Field(True, description="Recognise pages that are scans, where Tesseract is installed.")


def sniff(sample: Sample) -> float:
    """High for a PDF whose first pages have text, low for one of scans."""
    if sample.form != "PDF":
        return 0.0
    try:
        with opened(sample.path) as document:
            for number in range(min(len(document), 8)):
                if taken(document, number).lines:
                    return 0.9
    except DataError:
        return 0.5
    return 0.3


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Doc` for every heading and paragraph page by page; `origin` names the page. Memory does not grow with the pages."""
    recognise = cfg.scans and tesseract.ready()
    for item in glance(path, cfg):
        if recognise and isinstance(item, Drop) and item.reason == f"pdf.{NO_TEXT}":
            yield from _recognised(path, item, cfg)
        else:
            yield item


def glance(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """The text alone, without recognising scans: what `endonym add` shows."""
    with opened(path) as document:
        blocks = _blocks(document, cfg, cfg.document or path.stem)
        yield from records(
            path, "pdf", blocks, cfg, "", "its pages are scans or pictures: use a reader that recognises text (OCR)"
        )


def _recognised(path: Path, page: Drop, cfg: Config) -> Iterator[Record | Drop]:
    """What the reader of scans makes of a page; it is a document of its own, so that the order of the text stays."""
    scan, number = plugins.load("reader", "scan"), int(page.record.meta["page"])
    name = f"{cfg.document or path.stem}, scanned pages"
    language = cfg.written_in or split_name(path, cfg.language, cfg.pivot)[1] or cfg.language
    settings = scan.Config(language=language, pivot=cfg.pivot, first=number, last=number, document=name, typed=False)
    try:
        yield from scan.read(path, settings)
    except MissingError as error:
        yield replace(page, detail=f"{page.detail}: {error}")


def head(path: Path) -> Iterator[str]:
    """The texts of the document in order, for a look at its language."""
    with opened(path) as document:
        yield from texts(_blocks(document, Config(), ""))


def facing(path: Path, language: str, pivot: str) -> str:
    """The side in `language`, when left and right pages are in the two languages by what stands on the first of them."""
    from endonym.ingest.language import Known, identify

    sides: dict[bool, list[str]] = {True: [], False: []}
    with opened(path) as document:
        for number in range(1, min(len(document), FACING_PAGES + 1)):
            text = " ".join(line.text for line in taken(document, number).lines)
            if len(text) >= FACING_CHARS:
                sides[number % 2 == 1].append(identify([text], Known(language, pivot)).code)
    for left, right, side in ((language, pivot, "left"), (pivot, language, "right")):
        if min(map(len, sides.values())) >= 2 and set(sides[True]) == {left} and set(sides[False]) == {right}:
            return side
    return ""


def _blocks(document: Any, cfg: Config, name: str) -> Iterator[Block]:
    """The blocks page by page; a paragraph that the end of a page cuts is put together again."""
    words = _Words()
    waiting: list[tuple[int, Paragraph]] = []
    """The last paragraph of the pages so far, which the next page may go on with."""
    sizes: deque[float] = deque(maxlen=2000)
    usual = 0.0
    for page, around in _pages(document, words):
        left_out = {} if cfg.running else running(page, around, len(document))
        yield from _beside(page, left_out)
        lines = [line for line in page.lines if line not in left_out]
        rtl = _is_rtl(lines)
        found = [pair for region in regions(lines, rtl) for pair in enumerate(paragraphs(region, words.counts, rtl))]
        sizes.extend(line.size for line in lines)
        usual = sorted(sizes)[len(sizes) // 2] if sizes else 0.0
        for number, paragraph in found:
            # Only the first of a column or page may go on with what the one before it left open.
            before = waiting[-1][1] if waiting and not number and not (cfg.facing or cfg.pages) else None
            if before and went_on(before, paragraph, words.counts):
                continue
            yield from _finished(waiting, usual, cfg, page.unreadable, name)
            waiting = [(page.number, paragraph)]
        for text in page.odd:
            yield from _finished(waiting, usual, cfg, page.unreadable, name)
            waiting = [(page.number, Paragraph(text, usual))]
    yield from _finished(waiting, usual, cfg, False, name)


def _finished(
    waiting: list[tuple[int, Paragraph]], usual: float, cfg: Config, unreadable: bool, name: str
) -> Iterator[Block]:
    for number, paragraph in waiting:
        big = paragraph.size / usual if usual else 1.0
        level = (1 if big > 1.45 else 2) if big > 1.15 and paragraph.lines <= 3 else 0
        about: dict[str, Any] = {"page": number, **({"section": f"page {number}"} if cfg.pages else {})}
        language = ""
        if cfg.facing:
            # Page 2 lies beside page 3; what the two sides say stands in one section for the alignment.
            about |= {"section": f"pages {number // 2 * 2} and {number // 2 * 2 + 1}", "parallel": name}
            language = cfg.language if (number % 2 == 0) == (cfg.facing == "left") else cfg.pivot
            level = 0
        drop = "no_unicode" if unreadable else ""
        detail = (
            "its font does not say which characters its shapes are; recognise the page as a picture" if drop else ""
        )
        level = 0 if drop else level
        yield Block(number, paragraph.text, level, drop, detail, language, about=about)
        if paragraph.hyphens:
            marks, joins = " ".join(paragraph.hyphens), ", ".join(paragraph.joins)
            yield Block(number, marks, drop="hyphen", detail=joins, language=language, about=about)


def _beside(page: Page, left_out: dict[Line, tuple[str, str]]) -> Iterator[Block]:
    about = {"page": page.number}
    if page.damaged:
        yield Block(
            page.number, "", drop="damaged_page", detail=f"the page cannot be read: {page.damaged}", about=about
        )
    if page.scan:
        what = "the page is a scan: it has a picture and no text; recognise it (OCR)"
        yield Block(page.number, "", drop=NO_TEXT, detail=what, about=about)
    if page.controls:
        what = f"{len(page.controls)} control characters that stand for no letter"
        yield Block(page.number, page.controls, drop="control", detail=what, about=about)
    for line, (reason, detail) in left_out.items():
        yield Block(page.number, line.text, drop=reason, detail=detail, about=about)


class _Words:
    """How often each word stands in the document so far."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def learn(self, lines: list[Line]) -> None:
        for line in lines:
            # The last word of a line may be the half of one.
            for word in re.findall(r"[^\W\d_]+(?:[-\u2010][^\W\d_]+)*", line.text.casefold())[:-1]:
                if word in self.counts or len(self.counts) < MOST_WORDS:
                    self.counts[word] = self.counts.get(word, 0) + 1


def _pages(document: Any, words: _Words) -> Iterator[tuple[Page, list[Page]]]:
    """Each page with those around it, of which only so many are held."""
    window: deque[Page] = deque(maxlen=2 * AROUND + 1)
    total = len(document)
    for number in range(total + AROUND):
        if number < total:
            window.append(taken(document, number))
            words.learn(window[-1].lines)
        elif len(window) > 1 and window[0].number < number + 1 - 2 * AROUND:
            window.popleft()
        here = number - AROUND + 1
        page = next((page for page in window if page.number == here), None)
        if page is not None:
            yield page, list(window)


def taken(document: Any, number: int) -> Page:
    """The lines of one page (counted from 0) with their places; the page itself is let go."""
    from pypdfium2 import PdfiumError

    try:
        page = document[number]
    except PdfiumError as error:
        return Page(number + 1, [], damaged=str(error).rstrip("."))
    try:
        return page_text(page, number + 1)
    finally:
        page.close()


def _is_rtl(lines: list[Line]) -> bool:
    """Whether most letters belong to scripts written from right to left."""
    kinds = [unicodedata.bidirectional(char) for line in lines for char in line.text[:40]]
    return sum(kind in ("R", "AL") for kind in kinds) > sum(kind == "L" for kind in kinds)
