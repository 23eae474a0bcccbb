"""Read plain text or Markdown paragraph by paragraph; files named NAME.<language>.txt translate each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym.ingest.encoding import lines
from endonym.ingest.ids import Ids
from endonym.ingest.names import split_name
from endonym.types import Doc, Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".txt", ".md", ".markdown", ".text")
_ITEM = re.compile(r"\A(?:[-*+]|\d+[.)])\s+")
LONGEST = 20_000
"""A paragraph of more characters is taken for a file without blank lines, and cut at its line ends."""


class Config(BaseModel):
    """Settings of reading text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language, when the file's name does not say it; the project's when empty.")
    pivot: str = Field("", description="Pivot language, so that its code is understood in a file's name.")
    document: str = Field("", description="Name of the document; the file's name when empty.")
    parallel: bool = Field(False, description="Whether files of one name in several languages translate each other.")
    paragraphs: Literal["auto", "blank", "line"] = Field(
        "auto", description="What ends a paragraph: a blank line, or every line; found from the file when auto."
    )
    markdown: bool | None = Field(None, description="Read Markdown marks; by the extension when not set.")
    encoding: str = Field("", description="Encoding of the file; found when empty.")


def sniff(sample: Sample) -> float:
    """Medium for any text that is no table and no markup."""
    if sample.layout is not None or sample.columns or sample.head.lstrip().startswith(("<", "{", "[")):
        return 0.05
    return 0.6 if sample.path.suffix.lower() in EXTENSIONS else 0.3


@dataclass
class Block:
    """A paragraph or heading with the line it starts on; `drop` is the reason why it is no running text."""

    line: int
    text: str
    level: int = 0
    drop: str = ""


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Doc` for every paragraph and heading in order; code, tables of contents and front matter go to the ledger."""
    name, code = split_name(path, cfg.language, cfg.pivot)
    name = cfg.document or (name if cfg.parallel else path.stem)
    code = code or cfg.language
    meta: dict[str, Any] = {"document": name}
    if cfg.parallel:
        meta["parallel"] = name
    ids, section = Ids(), ""
    for part, block in enumerate(blocks(path, cfg), 1):
        about = {**meta, "part": part}
        if block.level:
            section = block.text
            about["heading"] = block.level
        elif section:
            about["section"] = section
        doc = Doc(ids("doc", code, name, block.text), block.text, code, f"{path.name}:{block.line}", about)
        yield Drop(doc, f"text.{block.drop}") if block.drop else doc


def blocks(path: Path, cfg: Config) -> Iterator[Block]:
    """Cut a file into headings (`# Title`) and paragraphs."""
    markdown = path.suffix.lower() in (".md", ".markdown") if cfg.markdown is None else cfg.markdown
    every_line = cfg.paragraphs == "line" or (
        cfg.paragraphs == "auto" and not markdown and not _wrapped(path, cfg.encoding)
    )
    waiting = Block(0, "")
    fence = ""
    for number, raw in lines(path, cfg.encoding):
        line = raw.strip().strip("\ufeff")
        if markdown and (fence or line.startswith(("```", "~~~")) or (number == 1 and line == "---")):
            if not fence:
                yield from _flush(waiting, markdown)
                fence = "---" if line == "---" else line[:3]
                waiting = Block(number, raw, drop="front_matter" if fence == "---" else "code")
                continue
            waiting.text += raw
            if line.startswith(fence):
                yield from _flush(waiting, False)
                waiting, fence = Block(0, ""), ""
            continue
        heading = re.match(r"(#{1,6})\s+(\S.*?)(?:\s+#+)?$", line)
        item = markdown and _ITEM.match(line)
        if not line or heading or item or every_line or len(waiting.text) > LONGEST:
            yield from _flush(waiting, markdown)
            waiting = Block(0, "")
        if heading:
            yield Block(number, _inline(heading[2]) if markdown else heading[2], len(heading[1]))
        elif line:
            waiting = Block(waiting.line or number, f"{waiting.text} {line}" if waiting.text else line)
    yield from _flush(waiting, markdown)


def _flush(block: Block, markdown: bool) -> Iterator[Block]:
    if not block.text.strip():
        return
    if block.drop or not markdown:
        yield block
    elif re.fullmatch(r"[-*_=\s]{3,}", block.text):
        yield Block(block.line, block.text, drop="rule")
    else:
        words = _inline(re.sub(r"^(?:>\s*)+", "", _ITEM.sub("", block.text)))
        if words:
            yield Block(block.line, words)


def _inline(text: str) -> str:
    """Markdown inside a line as its words: links, pictures, emphasis and code marks taken off."""
    text = re.sub(r"!?\[([^\[\]]*)\]\([^()\s]*(?:\s+\"[^\"]*\")?\)", r"\1", text)
    text = re.sub(r"(?<!\w)(\*\*|__|\*|_|`)(?=\S)(.+?)(?<=\S)\1(?!\w)", r"\2", text)
    return re.sub(r"(?<!\w)(\*\*|__|\*|_|`)(?=\S)(.+?)(?<=\S)\1(?!\w)", r"\2", text).strip()


def _wrapped(path: Path, encoding: str) -> bool:
    """Whether paragraphs are set over several lines: blank lines there are, and most lines have a neighbour to go on in."""
    blank = neighbours = filled = 0
    before = False
    for number, line in lines(path, encoding):
        here = bool(line.strip())
        blank += not here
        filled += here
        neighbours += here and before
        before = here
        if number >= 2000:
            break
    return blank > 0 and neighbours > 0.3 * filled
