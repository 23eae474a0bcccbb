"""Read dumps of MediaWiki such as Wikipedia's (.xml, .xml.bz2): paragraphs and headings of articles, page by page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.languages import language
from endonym.errors import DataError, Problem
from endonym.ingest.ids import Ids
from endonym.ingest.wikitext import Names, parse
from endonym.ingest.xml_stream import Node, nodes
from endonym.types import Doc, Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".xml",)
PACKED = True
_INCUBATOR = re.compile(r"W[a-z]/([a-z-]{2,12})(?:/|$)")
"""Titles of the Wikimedia Incubator: `Wp/tzh/Title` is a page of a Tseltal Wikipedia to be."""


class Config(BaseModel):
    """Settings of reading MediaWiki dumps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language of the articles; the project's when empty.")
    pivot: str = Field("", description="Pivot language; a wiki in it is taken too.")
    prefix: str = Field("", description="Take only pages whose title begins so, and take them for `language`.")
    namespaces: list[int] = Field([0], description="Numbers of the name spaces to take; 0 are the articles.")


def sniff(sample: Sample) -> float:
    """High where the file starts as an export of MediaWiki does."""
    return 0.95 if sample.begins("mediawiki") else 0.0


def marked(sample: Sample) -> list[tuple[str, str]]:
    """The language the dump names in its first element."""
    found = re.search(r"<mediawiki\b[^>]*\bxml:lang=[\"']([^\"']+)", sample.head)
    return [("articles", language(found[1]).code)] if found else []


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Doc` for every paragraph and heading; redirects, talk pages, templates and tables go to the ledger."""
    wiki = _Wiki(path, cfg)
    for node in nodes(path, ("siteinfo", "page")):
        if node.tag == "siteinfo":
            wiki.about(node)
        else:
            yield from wiki.page(node)
    if not wiki.kept:
        raise wiki.nothing()


class _Wiki:
    """What is known of the wiki while its pages are read."""

    def __init__(self, path: Path, cfg: Config):
        self.path, self.cfg, self.ids = path, cfg, Ids()
        self.names = Names()
        self.base = ""
        self.kept = 0
        self.why: Counter[str] = Counter()

    def about(self, node: Node) -> None:
        """Take the address of the wiki and its own words for the name spaces of pictures (6) and categories (14)."""
        self.base = node.said("base").rpartition("/")[0]
        found = {one.get("key"): one.text().strip().casefold() for one in node.inside("namespace")}
        files = {"file", "image", "media", found.get("6", "file"), found.get("-2", "media")}
        self.names = Names(files, {"category", found.get("14", "category")})

    def nothing(self) -> DataError:
        found = ", ".join(f"{reason} ({number})" for reason, number in self.why.most_common()) or "no page"
        return DataError(Problem(self.path.name, 0, "page", f"no page is an article in {self.cfg.language} or {self.cfg.pivot}",
                                 f"the dump has: {found}; set language, prefix or namespaces in the source's settings"))  # fmt: skip

    def page(self, node: Node) -> Iterator[Record | Drop]:
        title, revisions = node.said("title"), list(node.children("revision"))
        meta: dict[str, Any] = {"document": title}
        if self.base:
            meta["url"] = f"{self.base}/{title.replace(' ', '_')}"
        code = self.language(node, title)
        for old in revisions[:-1]:
            yield self.drop(old, "old_revision", "a newer one follows", code, meta)
        for new in revisions[-1:]:
            reason, detail = self.reason(node, new, title, code)
            if reason:
                self.why[f"{reason} {detail}".strip()] += 1
                yield self.drop(new, reason, detail, code, meta)
            else:
                yield from self.article(new, code, meta)

    def language(self, node: Node, title: str) -> str:
        """Language of a page: by the prefix asked for, by its title in the Incubator, by the dump's mark."""
        if self.cfg.prefix:
            return self.cfg.language
        incubated = _INCUBATOR.match(title)
        if incubated:
            return language(incubated[1]).code
        declared = node.above[0].get("xml:lang") if node.above else ""
        return language(declared).code if declared else self.cfg.language

    def reason(self, node: Node, revision: Node, title: str, code: str) -> tuple[str, str]:
        """Why a page is left out, and the detail; two empty texts for an article."""
        space, model = node.said("ns") or "0", revision.said("model") or "wikitext"
        if not space.lstrip("-").isdigit() or int(space) not in self.cfg.namespaces:
            return "namespace", f"name space {space}"
        if node.first("redirect") or re.match(r"\s*#\w+\s*:?\s*\[\[", revision.said("text")[:300]):
            return "redirect", "it leads to another page"
        if model != "wikitext":
            return "no_wikitext", model
        if self.cfg.prefix and not title.startswith(self.cfg.prefix):
            return "other_prefix", f"its title does not begin with {self.cfg.prefix}"
        if code not in (self.cfg.language, self.cfg.pivot):
            return "other_language", code
        return "", ""

    def drop(self, revision: Node, reason: str, detail: str, code: str, meta: dict[str, Any]) -> Drop:
        text = revision.first("text")
        raw = text.text() if text else ""
        doc = Doc(self.ids(reason, str(meta["document"]), raw), raw, code, f"{self.path.name}:{revision.line}", meta)
        return Drop(doc, f"mediawiki.{reason}", detail)

    def article(self, revision: Node, code: str, meta: dict[str, Any]) -> Iterator[Record | Drop]:
        node = revision.first("text")
        if node is None:
            return
        page, section = parse(node.text(), self.names), ""
        for part, block in enumerate(page.blocks, 1):
            about = {**meta, "part": part}
            if block.level:
                section, about["heading"] = block.text, block.level
            elif section:
                about["section"] = section
            origin = f"{self.path.name}:{node.line + block.line}"
            self.kept += 1
            yield Doc(self.ids("doc", str(meta["document"]), block.text), block.text, code, origin, about)
        for kind, texts in page.removed.items():
            raw = "\n".join(texts)
            doc = Doc(self.ids(kind, str(meta["document"]), raw), raw, code, f"{self.path.name}:{node.line}", meta)
            yield Drop(doc, f"mediawiki.{kind}", f"{len(texts)} on this page")
