"""Take the running text out of wikitext, and keep what is taken off apart: templates, tables, references, pictures."""

from __future__ import annotations

import html
import re
from bisect import bisect_left
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

SILENT = frozenset(
    ("ref", "gallery", "math", "chem", "ce", "syntaxhighlight", "source", "timeline", "score", "graph", "mapframe", "maplink",
     "templatedata", "imagemap", "hiero", "references", "inputbox", "categorytree", "indicator", "templatestyles", "script", "style")
)  # fmt: skip
"""Tags whose content is no running text."""
DEEPEST = 40
"""Marks that may be open inside each other before one is taken for never closed."""
_TOKEN = re.compile(
    r"<!--|\{\{|\}\}|(?:(?<=\n)|^)[ \t:*#]*\{\||(?:(?<=\n)|^)[ \t]*\|\}(?!\}(?!\}))|\[\[|\]\]"
    r"|\[(?:https?:|ftp:|mailto:|//)[^\s\[\]<>]+(?:[ \t]+([^\[\]\n]*))?\]"
    r"|</?([a-zA-Z]+)(?:\s[^<>]*)?/?>|__[A-Z]+__|'{2,}"
)
_PREFIX = re.compile(r"\s*:?\s*([^:\[\]|{}]{1,40}):")
_FILES = frozenset(("file", "image", "media"))
_CATEGORIES = frozenset(("category",))


@dataclass(frozen=True)
class Block:
    """A heading (`level` 1 to 6), a paragraph or a list item, with its line in the wikitext."""

    line: int
    text: str
    level: int = 0


@dataclass
class Page:
    """The text of a page in order, and the source of what is no text by what it is."""

    blocks: list[Block] = field(default_factory=list)
    removed: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class _Frame:
    """What is open: the mark that opened it, where, and the text so far as (place in the source, text)."""

    kind: str
    start: int
    mark: str
    parts: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Names:
    """Words that this wiki uses for the name spaces of pictures and categories, in lower case."""

    files: Collection[str] = _FILES
    categories: Collection[str] = _CATEGORIES


def parse(source: str, names: Names | None = None) -> Page:
    """Cut wikitext into blocks. One pass over the marks with a stack, so that time grows with length and nothing else.

    A mark that is never closed is text, as it is on the wiki. Link targets, quotes for bold and italics, and tags are markup and
    leave their words; every other thing taken off is in `removed` as it stands.
    """
    page = Page()
    stack = [_Frame("page", 0, "")]
    place = 0
    unclosed: set[str] = set()
    while found := _TOKEN.search(source, place):
        if found.start() > place:
            stack[-1].parts.append((place, source[place : found.start()]))
        place = _mark(source, found, stack, page, names or Names(), unclosed)
    stack[-1].parts.append((place, source[place:]))
    # What is still open was never closed: marks and all are text.
    parts = [part for frame in stack for part in ((frame.start, frame.mark), *frame.parts)]
    for where, text in parts:
        if where < 0:
            kind, _, kept = text[1:].partition("\0")
            page.removed.setdefault(kind, []).append(kept)
    page.blocks = list(_blocks(source, parts))
    return page


def _mark(source: str, found: re.Match[str], stack: list[_Frame], page: Page, names: Names, unclosed: set[str]) -> int:
    """Deal with one mark; returns the place after it."""
    mark, start, end = found[0], found.start(), found.end()
    bare = mark.strip(" \t:*#")
    if bare in ("{{", "[[", "{|"):
        stack.append(_Frame({"{{": "template", "[[": "link", "{|": "table"}[bare], start, mark))
    elif bare in ("}}", "]]", "|}"):
        _close({"}}": "template", "]]": "link", "|}": "table"}[bare], source, found, stack, page, names)
    elif mark == "<!--":
        close = source.find("-->", end)
        end = close + 3 if close >= 0 else len(source)
        _remove(page, stack, "comment", source[start:end])
    elif mark.startswith("'"):
        # Five marks are bold and italics; one of four, and what is more than five, is an apostrophe (Help:Wikitext).
        over = len(mark) - 5 if len(mark) > 5 else int(len(mark) == 4)
        stack[-1].parts.append((start, "'" * over))
    elif mark.startswith("["):
        stack[-1].parts.append((start, found[1] or ""))
        if not found[1]:
            _remove(page, stack, "link", mark)
    elif found[2]:
        return _tag(source, found, stack, page, unclosed)
    return end


def _tag(source: str, found: re.Match[str], stack: list[_Frame], page: Page, unclosed: set[str]) -> int:
    name, start, end = found[2].lower(), found.start(), found.end()
    opens = not found[0].startswith("</") and not found[0].endswith("/>")
    if opens and (name in SILENT or name in ("nowiki", "pre")) and name not in unclosed:
        closing = re.compile(rf"</{name}\s*>", re.I).search(source, end)
        if closing is None:
            unclosed.add(name)
        elif name in SILENT:
            _remove(page, stack, "reference" if name.startswith("ref") else name, source[start : closing.end()])
            return closing.end()
        else:
            stack[-1].parts.append((end, source[end : closing.start()]))
            return closing.end()
    if name in ("br", "p", "div", "li", "blockquote", "poem", "center"):
        stack[-1].parts.append((start, "\n" if name == "br" else "\n\n"))
    return end


def _remove(page: Page, stack: list[_Frame], kind: str, text: str) -> None:
    # What stands inside something that may itself be taken off is written down with that, once.
    if len(stack) == 1:
        page.removed.setdefault(kind, []).append(text)
    else:
        stack[-1].parts.append((-1, f"\0{kind}\0{text}"))


def _close(kind: str, source: str, found: re.Match[str], stack: list[_Frame], page: Page, names: Names) -> None:
    # Looking back a few marks only keeps the time linear where thousands are never closed.
    opened = next((n for n in range(len(stack) - 1, max(0, len(stack) - DEEPEST), -1) if stack[n].kind == kind), 0)
    if not opened:
        stack[-1].parts.append((found.start(), found[0]))
        return
    while len(stack) - 1 > opened:
        _undo(stack)
    frame = stack.pop()
    whole = source[frame.start : found.end()]
    if kind != "link":
        _remove(page, stack, kind, whole)
        return
    inside = "".join(text for place, text in frame.parts if place >= 0)
    prefix = _PREFIX.match(inside)
    name = prefix[1].strip().casefold() if prefix and not inside.lstrip().startswith(":") else ""
    if name in names.files or name in names.categories or _is_language(name):
        _remove(page, stack, "picture" if name in names.files else "category" if name in names.categories else "interlanguage", whole)  # fmt: skip
        return
    for place, text in frame.parts:
        if place < 0:
            kept_kind, _, kept = text[1:].partition("\0")
            _remove(page, stack, kept_kind, kept)
    target, pipe, label = inside.partition("|")
    stack[-1].parts.append((frame.start, label if pipe and label else target.lstrip(" :")))


def _is_language(name: str) -> bool:
    """Whether a link's prefix is a language: `es:`, `nah:`, `zh-min-nan:`; a page title before a colon has more letters."""
    return bool(re.fullmatch(r"[a-z]{2,3}(?:-[a-z]{2,10}){0,2}|simple", name))


def _undo(stack: list[_Frame]) -> None:
    """A mark that was never closed: it and what follows it are text."""
    frame = stack.pop()
    stack[-1].parts.append((frame.start, frame.mark))
    stack[-1].parts += frame.parts


def _blocks(source: str, parts: list[tuple[int, str]]) -> Iterator[Block]:
    waiting: list[str] = []
    begun = 0
    ends = [found.start() for found in re.finditer("\n", source)]
    for place, line in _lines(parts):
        text = line.lstrip("*#:;").strip(" \t")
        level = _level(line)
        rule = len(text) > 3 and not text.strip("-")
        alone = line.startswith(("*", "#", ":", ";")) or bool(level) or rule
        if waiting and (not text or alone):
            yield Block(bisect_left(ends, begun), " ".join(waiting))
            waiting = []
        if level:
            yield Block(bisect_left(ends, place), html.unescape(line.strip()[level:-level]).strip(), level)
        elif not text or rule:
            continue
        elif alone:
            yield Block(bisect_left(ends, place), html.unescape(text))
        else:
            begun = begun if waiting else place
            waiting.append(html.unescape(text))
    if waiting:
        yield Block(bisect_left(ends, begun), " ".join(waiting))


def _level(line: str) -> int:
    """Level of a heading (`== Title ==`), 0 for other lines."""
    line = line.rstrip()
    level = min(len(line) - len(line.lstrip("=")), len(line) - len(line.rstrip("=")), 6)
    return level if line[level : -level or None].strip("= ") else 0


def _lines(parts: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Lines of the text that is left, each with the place of its first letter in the source."""
    line: list[str] = []
    begun = -1
    for place, part in parts:
        if place < 0:
            continue
        offset = place
        for number, piece in enumerate(part.split("\n")):
            if number:
                yield max(begun, 0), "".join(line)
                line, begun = [], -1
            if begun < 0 and piece.strip():
                begun = offset
            line.append(piece)
            offset += len(piece) + 1
    yield max(begun, 0), "".join(line)
