"""Read web archives (.warc, .warc.gz), of any crawler and of `endonym collect`: the text of each page with its address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.languages import language
from endonym.errors import DataError, Problem
from endonym.ingest.document import Block
from endonym.ingest.encoding import MAX_WHOLE
from endonym.ingest.ids import Ids
from endonym.ingest.language import Known, identify
from endonym.ingest.markup import take_apart
from endonym.ingest.warc import Response, WebRecord, http_response, text_of, web_records
from endonym.types import Doc, Drop, Record, record_id

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".warc",)
PACKED = True
_PAGES = ("text/html", "application/xhtml+xml")
_SILENT = ("warcinfo", "request", "metadata")
"""Records about the crawl, which hold no page."""


class Config(BaseModel):
    """Settings of reading web archives."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field(
        "", description="Language of pages that neither say theirs nor show it; the project's when empty."
    )
    pivot: str = Field("", description="Pivot language; pages in it are taken too.")
    menus: bool = Field(False, description="Keep the text of navigation, header, footer, aside and forms too.")
    identify: bool = Field(
        True, description="Find the language of a page from its text where its mark is of neither language."
    )


def sniff(sample: Sample) -> float:
    """High where the file starts as a web archive does."""
    return 0.97 if sample.head.startswith("WARC/") else 0.0


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Doc` for every heading and paragraph of every page; what is no page goes to the ledger."""
    ids, kept = Ids(), 0
    why: Counter[str] = Counter()
    seen: set[str] = set()
    # A site that was collected again has pages twice: the newest counts.
    newest = {record_id(record.url): record.number for record in web_records(path) if record.kind == "response"}
    for record in web_records(path):
        if record.kind in _SILENT:
            continue
        origin = f"{path.name}:{record.number}"
        meta = _about(record)
        text, media, reason, detail = _content(record)
        key = record_id(text)
        if not reason and record.kind == "response" and newest[record_id(record.url)] != record.number:
            reason, detail = "older_copy", "the page was fetched again later"
        elif not reason and key in seen:
            reason, detail = "same_page", "a page with the same content came before"
        if reason:
            why[reason] += 1
            yield Drop(Doc(ids(reason, record.url), text, "", origin, meta), f"warc.{reason}", detail)
            continue
        seen.add(key)
        for item in _documents(text, media, cfg, ids, origin, meta):
            if isinstance(item, Drop):
                why[item.reason.removeprefix("warc.")] += 1
            else:
                kept += 1
            yield item
    if not kept:
        found = ", ".join(f"{reason} ({number})" for reason, number in why.items() if number) or "no page"
        raise DataError(Problem(path.name, 0, "", f"no page has text in {cfg.language} or {cfg.pivot}",
                                f"the archive has: {found}; set language in the source's settings"))  # fmt: skip


def _about(record: WebRecord) -> dict[str, Any]:
    date = record.headers.get("warc-date", "")
    return {"document": record.url, "url": record.url, **({"date": date} if date else {})}


def _content(record: WebRecord) -> tuple[str, str, str, str]:
    """Text and media type of a record, and why it is no page where it is none."""
    media = record.headers.get("content-type", "").partition(";")[0].strip().lower()
    if record.size > MAX_WHOLE:
        return "", media, "too_large", f"{record.size:,} bytes"
    if record.kind == "conversion" or (record.kind == "resource" and media in (*_PAGES, "text/plain")):
        return text_of(record.content, ""), media, "", ""
    if record.kind != "response":
        return "", media, "no_page", f"a record of the kind {record.kind or 'unknown'}"
    answer = http_response(record.content)
    if answer.status != 200:
        return _readable(answer), answer.media_type, "status", answer.problem or f"the server answered {answer.status}"
    if answer.problem:
        return "", answer.media_type, "packed", answer.problem
    if answer.media_type not in (*_PAGES, "text/plain"):
        return _readable(answer), answer.media_type, "no_page", answer.media_type or "it names no media type"
    return text_of(answer.body, answer.charset), answer.media_type, "", ""


def _readable(answer: Response) -> str:
    """The text of what is no page, for the ledger; `""` for pictures and other bytes."""
    known = answer.media_type.startswith("text/") or answer.media_type.endswith(("xml", "json"))
    return text_of(answer.body, answer.charset) if known else ""


def _documents(
    text: str, media: str, cfg: Config, ids: Ids, origin: str, meta: dict[str, Any]
) -> Iterator[Record | Drop]:
    said = licence = ""
    if media == "text/plain":
        blocks = [Block(n, line.strip()) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    else:
        page = take_apart(text)
        said, licence = page.language, page.licence
        blocks = [
            block
            for found in page.blocks
            for block in (
                [Block(found.place, text) for cell in found.cells for text in cell] if found.cells else [found]
            )
        ]
    meta = {**meta, **({"licence": licence} if licence else {})}
    code = _language(said, [block.text for block in blocks if not block.drop], cfg)
    section = ""
    for part, block in enumerate(blocks, 1):
        about, words = {**meta, "part": part}, block.text
        if block.level and not block.drop:
            section, about["heading"] = words, block.level
        elif section:
            about["section"] = section
        doc = Doc(ids("doc", str(meta["url"]), words), words, code, origin, about)
        if block.drop and not (cfg.menus and block.drop == "menu"):
            yield Drop(doc, f"warc.{block.drop}", block.detail)
        elif code not in (cfg.language, cfg.pivot):
            yield Drop(doc, "warc.other_language", code)
        else:
            yield doc


def _language(said: str, texts: list[str], cfg: Config) -> str:
    """The page's own mark where it is one of the project's two; others are often a template's default."""
    code = language(said).code if said else ""
    if code in (cfg.language, cfg.pivot):
        return code
    guessed = identify(texts, Known(cfg.language, cfg.pivot)).code if cfg.identify else ""
    return guessed or cfg.language
