"""Read headings, paragraphs and bilingual tables from HTML pages; menus, forms and what is not prose go to the ledger."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from endonym.ingest.document import Settings, records, texts
from endonym.ingest.encoding import whole_text
from endonym.ingest.markup import take_apart
from endonym.types import Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".html", ".htm", ".xhtml")


class Config(Settings):
    """Settings of reading HTML."""

    menus: bool = Field(False, description="Keep the text of navigation, header, footer, aside and forms too.")
    encoding: str = Field("", description="Encoding of the file; found when empty.")


def sniff(sample: Sample) -> float:
    """High where the file starts as HTML does."""
    head = sample.head[:4000].lower()
    if re.search(r"<!doctype html|<html[\s>]", head):
        return 0.95
    return 0.7 if re.search(r"<(p|div|body|h[1-6])[\s>]", head) and sample.path.suffix.lower() in EXTENSIONS else 0.0


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Doc` for every heading and paragraph in reading order, and a `Pair` for a row of a bilingual table."""
    page = take_apart(whole_text(path, cfg.encoding))
    blocks = page.blocks
    if cfg.menus:
        blocks = [replace(block, drop="", detail="") if block.drop == "menu" else block for block in blocks]
    if page.licence:
        blocks = [replace(block, about={**block.about, "licence": page.licence}) for block in blocks]
    yield from records(path, "html", blocks, cfg, page.language, "save the page from a browser with its text")


def head(path: Path) -> Iterator[str]:
    """The texts of the page in order, for a look at its language."""
    yield from texts(take_apart(whole_text(path)).blocks)
