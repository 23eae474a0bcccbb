"""Collect the paragraphs and table rows of an XML document while its elements go by, with what is left out and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from endonym.ingest.document import Block

MOST_CHARS = 2**23
"""Characters of one paragraph; longer ones are cut there, and nothing is lost."""


class _Open:
    """A paragraph that has begun; text boxes have paragraphs inside paragraphs."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.size = 0
        self.level = 0
        self.left_out: dict[str, list[str]] = {}


class Paragraphs:
    """What readers of XML documents share: they say what an element is, and finished blocks are in `done`."""

    def __init__(self, details: Mapping[str, str], place: int = 0):
        self.done: list[Block] = []
        self.place = place
        self.reasons: list[str] = []
        """Why text is left out just now, outermost first; empty for text that counts."""
        self.hidden = False
        self.within: list[str] = []
        """Elements that are open, outermost first."""
        self._details = details
        self._open: list[_Open] = []
        self._inner: list[Block] = []
        self._tables = 0
        self._depth = 0
        self._rows: list[tuple[str, ...]] = []
        self._cell: list[str] | None = None

    def inside(self, tag: str) -> bool:
        """Whether this is the element around the one that begins, or the one around that."""
        return tag in self.within[-2:]

    def open(self) -> None:
        """A paragraph begins."""
        self._open.append(_Open())

    def heading(self, level: int) -> None:
        """The open paragraph is a heading, or (-1) a line of the table of contents."""
        if self._open:
            self._open[-1].level = level

    def say(self, text: str) -> None:
        """Text of the open paragraph, or what is left out of it."""
        if not self._open or not text:
            return
        now = self._open[-1]
        reason = self.reasons[-1] if self.reasons else "hidden" if self.hidden else ""
        if reason:
            now.left_out.setdefault(reason, []).append(text)
            return
        now.text.append(text)
        now.size += len(text)
        if now.size > MOST_CHARS:
            self._emit("".join(now.text), now.level, "", {}, self.done, self.place + 1)
            now.text, now.size = [], 0

    def close(self, reason: str = "", about: Mapping[str, Any] | None = None) -> None:
        """The open paragraph ends; `reason` says why all of it is left out."""
        now = self._open.pop()
        # A note or a text box stands inside the paragraph that it belongs to, and comes behind it.
        outer = self.place + 1
        self.place += not self._open
        put = self._inner if self._open else self.done
        reason = reason or ("contents" if now.level < 0 else "")
        self._emit("".join(now.text), now.level, reason, about or {}, put, outer)
        for why, texts in now.left_out.items():
            if "".join(texts).strip():
                left = Block(outer, "".join(texts).strip(), drop=why, detail=self._details[why])
                put.append(replace(left, table=self._tables if self._depth else 0))
        if not self._open:
            self.done += self._inner
            self._inner = []

    def _emit(self, text: str, level: int, reason: str, about: Mapping[str, Any], put: list[Block], place: int) -> None:
        text = text.strip(" \t\n")
        if text and self._cell is not None and not reason:
            self._cell.append(text)
        elif text:
            detail = self._details[reason] if reason else ""
            level = 0 if reason or self._depth else level
            made = Block(place, text, max(level, 0), reason, detail, about=about)
            put.append(replace(made, table=self._tables if self._depth else 0))

    def table(self) -> None:
        """A table begins; one inside a cell is text of that cell."""
        self._depth += 1
        self._tables += self._depth == 1

    def row(self) -> None:
        """A row begins."""
        if self._depth == 1:
            self._rows = []

    def cell(self) -> None:
        """A cell begins."""
        if self._depth == 1:
            self._cell = []

    def end_cell(self) -> None:
        """The open cell ends."""
        if self._depth == 1 and self._cell is not None:
            self._rows.append(tuple(self._cell))
            self._cell = None

    def end_row(self) -> None:
        """The open row ends."""
        if self._depth == 1 and any(self._rows):
            self.done.append(Block(self.place, table=self._tables, cells=tuple(self._rows)))
        if self._depth == 1:
            self._rows = []

    def end_table(self) -> None:
        """The open table ends."""
        self._depth -= 1
