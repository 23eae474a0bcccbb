"""Read Markdown: headings, paragraphs and tables as text; code, front matter, link targets and every mark go to the ledger."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from endonym.ingest.document import Block, Settings, records
from endonym.ingest.encoding import lines
from endonym.types import Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".md", ".markdown", ".mdx", ".qmd", ".rmd")
FRONT = {"---": ("---", "..."), "+++": ("+++",)}
"""What front matter begins with, and what may end it."""
FRONT_LINES = 500
MARKS_AT_ONCE = 10_000
_INLINE = re.compile(
    r"""
      \\(?P<escaped>[!-/:-@\[-`{-~])
    | (?P<ticks>`+)(?P<code>.+?)(?<!`)(?P=ticks)(?!`)
    | <!--(?P<comment>.*?)-->
    | <(?P<auto>(?:https?|ftp|mailto):[^<>\s]*|[^<>\s@]+@[^<>\s]+)>
    | (?P<tag></?[A-Za-z][^<>]*>)
    | (?P<open>!?\[)(?P<words>(?:[^\[\]\\]|\\.|\[[^\[\]]*\])*)
      (?:\]\((?P<url>[^()\s]*(?:\([^()\s]*\)[^()\s]*)*(?:\s+(?:"[^"]*"|'[^']*'))?)\s*\)|\]\[(?P<ref>[^\[\]]*)\])
    | \[\^(?P<note>[^\[\]\s]+)\]
    | (?<!\w)(?P<mark>\*\*\*|\*\*|__|~~|\*|_)(?=\S)(?P<strong>.+?)(?<=\S)(?P=mark)(?!\w)
    | (?P<inner>\*\*)(?=\S)(?P<part>[^*\s]+)\*\*
    """,
    re.VERBOSE | re.DOTALL,
)
_ITEM = re.compile(r"(?:[-*+•]|\d{1,9}[.)])(?:\s+\[[ xX]\])?(?:\s+|$)")
_DEFINITION = re.compile(r"\[([^\[\]^]+)\]:\s*(\S+.*)$")
_DELIMITERS = re.compile(r"\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?")
_TAGS = re.compile(r"<(?:!doctype|html|head|body|div|p)\b", re.I)


class Config(Settings):
    """Settings of reading Markdown."""

    encoding: str = Field("", description="Encoding of the file; found when empty.")


def sniff(sample: Sample) -> float:
    """High for text with Markdown's extensions."""
    if sample.form or sample.path.suffix.lower() not in EXTENSIONS:
        return 0.0
    return 0.3 if _TAGS.match(sample.head.lstrip()) else 0.92


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Doc` for every heading, paragraph and list item in order, and a `Pair` for a row of a bilingual table."""
    yield from records(path, "markdown", blocks(path, cfg), cfg)


def blocks(path: Path, cfg: Config) -> Iterator[Block]:
    """The blocks of a file; marks that are taken off are collected and given as one block left out."""
    pages = _Pages()
    stream = lines(path, cfg.encoding)
    first = list(islice(stream, FRONT_LINES))
    ends = FRONT.get(first[0][1].strip("\ufeff \t\r\n"), ()) if first else ()
    end = next((k for k, (_, line) in enumerate(first[1:], 1) if line.strip() in ends), 0)
    if end:
        yield Block(1, "".join(line for _, line in first[: end + 1]), drop="front_matter")
        first = first[end + 1 :]
    for number, raw in chain(first, stream):
        pages.line(number, raw)
        yield from pages.taken()
    pages.finish()
    yield from pages.taken(True)


class _Pages:
    """Puts lines together to blocks."""

    def __init__(self) -> None:
        self.done: list[Block] = []
        self.marks: list[str] = []
        self.number = 0
        self.begun, self.text = 0, ""
        self.fence = ""
        self.tables, self.table = 0, 0
        self.before: tuple[int, str] | None = None
        """A line with bars that is the head of a table if the next one is its delimiters."""

    def taken(self, end: bool = False) -> Iterator[Block]:
        yield from self.done
        self.done.clear()
        if self.marks and (end or len(self.marks) > MARKS_AT_ONCE):
            yield Block(
                self.number, " ".join(self.marks), drop="marks", detail="marks of headings, lists, emphasis and links"
            )
            self.marks = []

    def line(self, number: int, raw: str) -> None:
        self.number = number
        line = raw.strip().strip("\ufeff")
        if self.fence:
            self.text += raw
            if line.startswith(self.fence) or (self.fence == "-->" and "-->" in line):
                self.left_out("comment" if self.fence == "-->" else "code")
            return
        if line.startswith(("```", "~~~")) or (line.startswith("<!--") and "-->" not in line):
            self.flush()
            self.fence = "-->" if line.startswith("<!--") else line[:3]
            self.begun, self.text = number, raw
            return
        self.plain(number, self.quoted(line))

    def quoted(self, line: str) -> str:
        """A line without the marks of a quotation."""
        found = re.match(r"(?:>\s?)+", line)
        self.marks += [found[0].strip()] if found else []
        return line[found.end() :].strip() if found else line

    def plain(self, number: int, line: str) -> None:
        if self.bars(number, line):
            return
        heading = re.match(r"(#{1,6})\s+(\S.*?)(?:\s+(#+))?$", line)
        under = re.fullmatch(r"=+|-+", line)
        item = _ITEM.match(line)
        if under and self.text and not self.fence:
            self.marks.append(line)
            self.flush(1 if line[0] == "=" else 2)
        elif re.fullmatch(r"(?:[-*_]\s*){3,}", line):
            self.flush()
            self.done.append(Block(number, line, drop="rule"))
        elif heading:
            self.flush()
            self.marks += [mark for mark in (heading[1], heading[3]) if mark]
            self.begun, self.text = number, heading[2]
            self.flush(len(heading[1]))
        elif found := _DEFINITION.match(line):
            self.flush()
            self.done.append(Block(number, line, drop="link", detail=f"where links to '{found[1]}' lead"))
        else:
            if not line or item:
                self.flush()
            if item:
                self.marks.append(item[0].strip())
                line = line[item.end() :]
            if line:
                self.begun, self.text = (self.begun, f"{self.text} {line}") if self.text else (number, line)

    def bars(self, number: int, line: str) -> bool:
        """Rows of a table: lines with bars after one of delimiters (`|---|---|`)."""
        if self.table and "|" in line:
            self.cells(number, line)
            return True
        self.table = 0
        if self.before and "|" in line and _DELIMITERS.fullmatch(line):
            self.tables += 1
            self.table = self.tables
            self.cells(*self.before)
            self.before = None
            self.marks.append(line)
            return True
        if self.before:
            before, self.before = self.before, None
            self.begun, self.text = (self.begun, f"{self.text} {before[1]}") if self.text else before
        if "|" in line and not line.startswith("#"):
            self.flush()
            self.before = (number, line)
            return True
        return False

    def cells(self, number: int, line: str) -> None:
        self.marks.append("|" * len(re.findall(r"(?<!\\)\|", line)))
        inside = re.sub(r"^\||(?<!\\)\|$", "", line)
        cells = [self.inline(number, cell.strip()) for cell in re.split(r"(?<!\\)\|", inside)]
        self.done.append(Block(number, table=self.table, cells=tuple((cell,) if cell else () for cell in cells)))

    def flush(self, level: int = 0) -> None:
        """The open paragraph ends; with `level` it was a heading."""
        text, self.text = self.text, ""
        clean = self.inline(self.begun, text)
        if clean:
            self.done.insert(self.place_of_text(), Block(self.begun, clean, level))

    def place_of_text(self) -> int:
        """A paragraph stands before what was left out of it."""
        return next(
            (k for k, b in enumerate(self.done) if b.place == self.begun and b.drop in ("link", "tag")), len(self.done)
        )

    def left_out(self, reason: str) -> None:
        self.done.append(Block(self.begun, self.text, drop=reason))
        self.text, self.fence = "", ""

    def finish(self) -> None:
        if self.fence:
            self.left_out("comment" if self.fence == "-->" else "code")
        if self.before:
            self.plain(self.number, "")
        self.flush()

    def inline(self, number: int, text: str) -> str:
        """A text as its words: links, pictures, emphasis and code marks taken off."""

        def word(found: re.Match[str]) -> str:
            of = found.groupdict()
            if of["escaped"]:
                self.marks.append("\\")
                return of["escaped"]
            if of["ticks"]:
                self.marks += [of["ticks"]] * 2
                return of["code"]
            if of["auto"]:
                self.marks.append("<>")
                return of["auto"]
            if of["comment"] is not None or of["tag"]:
                self.done.append(Block(number, found[0], drop="tag", detail="HTML inside the text"))
                return " " if re.match(r"<br\b", found[0], re.I) else ""
            if of["open"]:
                self.marks.append(of["open"] + ("]()" if of["ref"] is None else "][]"))
                if of["url"] or of["ref"]:
                    self.done.append(Block(number, of["url"] or of["ref"], drop="link", detail="where a link leads"))
                return _INLINE.sub(word, of["words"])
            if of["note"]:
                self.marks.append(found[0])
                return ""
            mark = of["mark"] or of["inner"]
            self.marks += [mark] * 2
            return _INLINE.sub(word, of["strong"] or of["part"])

        return _INLINE.sub(word, text).strip()
