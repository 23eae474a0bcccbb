"""Reduce the article of a StarDict or dictd dictionary (plain text, HTML, Pango, XDXF) to senses, examples and what stands beside."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from endonym.ingest.article import Article, Example

BLOCKS = frozenset((
    "p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "dd", "dt", "blockquote", "def", "table", "ul", "ol", "hr", "section",
))  # fmt: skip
SILENT = frozenset(("script", "style", "head", "template"))
ROLES = {
    "k": "headword", "tr": "pronunciation", "abr": "abbreviation", "abbr": "abbreviation", "gr": "grammar", "pos": "grammar",
    "co": "comment", "su": "comment", "etm": "etymology", "kref": "reference", "iref": "reference", "rref": "resource",
    "ex": "example", "ex_orig": "original", "ex_tran": "translated",
}  # fmt: skip
"""XDXF's elements that are no part of a meaning. In HTML, of these only `abbr` occurs."""
WRAPPED = 55
"""From this many characters on, a line may go on in the next."""
_NUMBER = re.compile(r"\s*(?:\(?\d{1,2}[.)]|\(?[a-h]\)|[•‣▪►*]|[-–—])\s+")


def add_plain(article: Article, text: str, language: str) -> None:
    """Read an article of plain text: the headword and what follows it on its line, then a sense a line or number."""
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    lines = [line for line in lines if line.strip()]
    if lines:
        lines[0] = _head(article, lines[0].strip(), len(lines) == 1)
    lines = [line for line in lines if line and not _refers(article, line)]
    if len(lines) > 1 and re.fullmatch(r"\([^()]*\)", lines[0].strip()):
        # FreeDict's hint which of several words is meant stands above the meanings.
        article.note("note", lines.pop(0).strip())
    for meaning in _meanings(lines):
        article.mean(language, [meaning])


def _head(article: Article, line: str, alone: bool) -> str:
    """Take headword, pronunciation and part of speech off the first line; returns what is left of it.

    An abbreviation after the headword is the part of speech when the meanings come on lines of their own.
    """
    word = article.headword
    if line.casefold().startswith(word.casefold()) and not line[len(word) : len(word) + 1].isalnum():
        line = line[len(word) :].strip()
        said = re.match(r"(/[^/]+/|\[[^\[\]]+\])\s*", line)
        if said:
            article.note("pronunciation", said[1])
            line = line[said.end() :]
        if not alone and re.fullmatch(r"[^\W\d][\w ./]{0,14}\.", line):
            article.class_is("grammar", line)
            return ""
    forms = re.match(r"((?:\([^()]*\)\s*)+)(?=<)", line)
    if forms:
        article.note("forms", forms[1].strip())
        line = line[forms.end() :]
    part = re.match(r"<([^<>]{1,40})>\s*", line)
    if part:
        article.class_is("grammar", part[1])
        line = line[part.end() :]
    return line


def _refers(article: Article, line: str) -> bool:
    """Take a line that only points to other entries, as dictd writes it: `Note: {abdo}`, `see: {a}, {b}`."""
    said = re.fullmatch(r"\s*(?:([^\W\d][^{}:]{0,30}):)?\s*(\{[^{}]+\}(?:[\s,;]*\{[^{}]+\})*)\.?\s*", line)
    for word in re.findall(r"\{([^{}]+)\}", said[2]) if said else ():
        article.refer((said[1] if said and said[1] else "see").strip().lower(), word.strip())
    return said is not None


def _meanings(lines: list[str]) -> list[str]:
    """Lines as meanings: at every number where there are numbers, else a line each unless the line before it was full."""
    numbered = any(_NUMBER.match(line) for line in lines)
    found: list[str] = []
    before = ""
    for line in lines:
        starts = bool(_NUMBER.match(line))
        goes_on = found and not starts and (numbered or len(before.strip()) >= WRAPPED)
        said = re.sub(r"\s+", " ", _NUMBER.sub("", line, count=1) if starts else line).strip()
        if goes_on:
            found[-1] = f"{found[-1]} {said}"
        elif said:
            found.append(said)
        before = line
    return found


def add_markup(article: Article, text: str, language: str, folded: bool) -> None:
    """Read an article of markup: its text as plain text is read, and what XDXF marks as something else beside it.

    `folded`: line breaks of the file are none of the text, as in HTML; in Pango and XDXF they are.
    """
    page = _Markup(article, language)
    page.feed(re.sub(r"\s+", " ", text) if folded else text)
    page.close()
    page.finish()
    add_plain(article, "".join(page.text), language)


class _Markup(HTMLParser):
    """Collects the text of an article; tags that are never closed do no harm."""

    def __init__(self, article: Article, pivot: str):
        super().__init__(convert_charrefs=True)
        self.article, self.pivot = article, pivot
        self.text: list[str] = []
        self.roles: list[tuple[str, str, list[str]]] = []
        """Open elements that have a part of their own: tag, part, text so far."""
        self.silent = 0
        self.example: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in SILENT:
            self.silent += 1
        elif tag in ROLES and not (tag == "tr" and self._in_table()):
            self.roles.append((tag, ROLES[tag], []))
        elif tag in BLOCKS and not self.roles:
            self.text.append("\n")
        if tag == "table":
            self.text.append("\0")
        media = dict(attrs).get("src")
        if tag in ("img", "audio", "source") and media:
            self.article.note("media", media)

    def handle_endtag(self, tag: str) -> None:
        if tag in SILENT:
            self.silent = max(0, self.silent - 1)
        elif any(tag == open_tag for open_tag, _, _ in self.roles):
            while True:
                closed, role, texts = self.roles.pop()
                self._take(role, re.sub(r"\s+", " ", "".join(texts)).strip())
                if closed == tag:
                    break
        elif tag in BLOCKS and not self.roles:
            self.text.append("\n")

    def handle_data(self, data: str) -> None:
        if self.silent:
            self.article.note("script", data.strip())
        elif self.roles:
            self.roles[-1][2].append(data)
        else:
            self.text.append(data)

    def finish(self) -> None:
        """Take in what was never closed."""
        while self.roles:
            self.handle_endtag(self.roles[-1][0])
        self.text = [piece for piece in self.text if piece != "\0"]

    def _in_table(self) -> bool:
        # `tr` is a transcription in XDXF and a row in HTML.
        return "\0" in self.text

    def _take(self, role: str, text: str) -> None:
        if not text and role != "example":
            return
        if role == "headword":
            if text.casefold() != self.article.headword.casefold():
                self.article.variants.append(text)
        elif role == "reference":
            self.article.refer("see", text)
            if not self.roles:
                self.text.append(f" {text} ")
        elif role in ("original", "translated") and any(part == "example" for _, part, _ in self.roles):
            self.example.append(text)
        elif role == "example" and len(self.example) == 2:
            self.article.examples.append(Example(self.example[0], [(self.pivot, self.example[1])]))
            self.article.note("example", text)
        elif role == "grammar" and text:
            self.article.class_is("grammar", text)
        else:
            self.article.note(role, text)
        if role == "example":
            self.example = []
