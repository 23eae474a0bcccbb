"""Read headings and paragraphs from HTML pages; scripts, styles and menus go to the ledger or are left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.errors import DataError, Problem
from endonym.ingest.encoding import whole_text
from endonym.ingest.ids import Ids
from endonym.ingest.names import split_name
from endonym.types import Doc, Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".html", ".htm", ".xhtml")
BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "br",
        "caption",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "html",
        "legend",
        "li",
        "main",
        "nav",
        "ol",
        "option",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "title",
        "tr",
        "ul",
    ]
)
SILENT = frozenset(("script", "style", "template", "noscript", "svg", "math", "iframe", "object", "select"))
MENUS = frozenset(("nav", "header", "footer", "aside", "form"))


class Config(BaseModel):
    """Settings of reading HTML."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field(
        "", description="Language, when neither the file's name nor its `lang` says it; else the project's."
    )
    pivot: str = Field("", description="Pivot language, so that its code is understood in a file's name.")
    document: str = Field("", description="Name of the document; the file's name when empty.")
    parallel: bool = Field(False, description="Whether files of one name in several languages translate each other.")
    menus: bool = Field(False, description="Keep the text of navigation, header, footer, aside and forms too.")
    encoding: str = Field("", description="Encoding of the file; found when empty.")


def sniff(sample: Sample) -> float:
    """High where the file starts as HTML does."""
    head = sample.head[:4000].lower()
    if re.search(r"<!doctype html|<html[\s>]", head):
        return 0.95
    return 0.7 if re.search(r"<(p|div|body|h[1-6])[\s>]", head) and sample.path.suffix.lower() in EXTENSIONS else 0.0


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Doc` for every heading and paragraph in reading order."""
    page = _Page()
    page.feed(whole_text(path, cfg.encoding))
    page.close()
    page.flush()
    if not any(block.menu == "" for block in page.blocks):
        raise DataError(
            Problem(path.name, 0, "", "there is no text in this page", "save the page from a browser with its text")
        )
    name, code = split_name(path, cfg.language, cfg.pivot)
    name = cfg.document or (name if cfg.parallel else path.stem)
    code = code or _declared(page.lang, cfg) or cfg.language
    meta: dict[str, Any] = {"document": name}
    if cfg.parallel:
        meta["parallel"] = name
    ids, section = Ids(), ""
    for part, block in enumerate(page.blocks, 1):
        about = {**meta, "part": part}
        if block.level:
            section, about["heading"] = block.text, block.level
        elif section:
            about["section"] = section
        doc = Doc(ids("doc", code, name, block.text), block.text, code, f"{path.name}:{block.line}", about)
        yield Drop(doc, "html.menu", f"inside <{block.menu}>") if block.menu and not cfg.menus else doc


def _declared(lang: str, cfg: Config) -> str:
    """The page's own `lang` when it is one of the project's two; others are often a template's default."""
    from endonym.data.languages import language

    code = language(lang).code if lang else ""
    return code if code in (cfg.language, cfg.pivot) else ""


class _Block:
    def __init__(self, line: int, text: str, level: int, menu: str):
        self.line, self.text, self.level, self.menu = line, text, level, menu


class _Page(HTMLParser):
    """Collects the blocks of a page; tags that are never closed do no harm."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[_Block] = []
        self.lang = ""
        self._text: list[str] = []
        self._line = 0
        self._level = 0
        self._silent: list[str] = []
        self._menus: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "html":
            self.lang = dict(attrs).get("lang") or dict(attrs).get("xml:lang") or ""
        if tag in SILENT:
            self._silent.append(tag)
        elif tag in BLOCKS:
            self.flush()
            if tag in MENUS:
                self._menus.append(tag)
            if re.fullmatch(r"h[1-6]|title", tag):
                self._level = 1 if tag == "title" else int(tag[1])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in BLOCKS:
            self.flush()

    def handle_endtag(self, tag: str) -> None:
        if tag in self._silent:
            del self._silent[self._silent.index(tag) :]
        elif tag in BLOCKS:
            self.flush()
            if tag in self._menus:
                del self._menus[self._menus.index(tag) :]

    def handle_data(self, data: str) -> None:
        if not self._silent:
            if not self._text and data.strip():
                self._line = self.getpos()[0] + data[: len(data) - len(data.lstrip())].count("\n")
            self._text.append(data)

    def flush(self) -> None:
        """End the block that is open."""
        # HTML folds its own white space only: a no-break space or a zero width joiner is the writer's.
        text = re.sub(r"[ \t\r\n\f]+", " ", "".join(self._text)).strip(" ")
        if text:
            self.blocks.append(_Block(self._line, text, self._level, self._menus[-1] if self._menus else ""))
        self._text, self._level = [], 0
