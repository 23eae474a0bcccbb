"""Find the addresses that a page, a feed (RSS, Atom) or a sitemap names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, urldefrag, urljoin, urlsplit, urlunsplit

from endonym.errors import DataError
from endonym.ingest.warc import text_of
from endonym.ingest.xml_stream import nodes

LONGEST = 2000
"""Characters of an address; a longer one is made by a program that goes in circles."""


def cleaned(url: str, base: str = "") -> str:
    """An absolute address in one spelling: host in lower case, no default port, no fragment; `""` for one that is broken."""
    try:
        whole, _ = urldefrag(urljoin(base, url.strip()) if base else url.strip())
        parts = urlsplit(whole)
        host = (parts.hostname or "").encode("idna").decode("ascii") if parts.hostname else ""
        port = parts.port
    except (ValueError, UnicodeError):
        return ""
    if not host or len(whole) > LONGEST:
        return ""
    plain = port is None or (parts.scheme, port) in (("http", 80), ("https", 443))
    netloc = host if plain else f"{host}:{port}"
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=-._~")
    return urlunsplit((parts.scheme.lower(), netloc, path, quote(parts.query, safe="/%:@!$&'()*+,;=-._~?[]"), ""))


def links(body: bytes, media_type: str, base: str) -> list[str]:
    """Addresses in a page, feed or sitemap, each once, in the order they stand."""
    start = body[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    xml = start.startswith((b"<?xml", b"<rss", b"<feed", b"<urlset")) or "xml" in media_type
    found = _of_xml(body, base) if xml and b"<html" not in start else _of_page(text_of(body, ""), base)
    return list(dict.fromkeys(filter(None, found)))


def _of_xml(body: bytes, base: str) -> Iterator[str]:
    """RSS (`<link>` of an item), Atom (`<link href>`), sitemaps (`<loc>`)."""
    try:
        for node in nodes(Path(base), ("link", "loc", "atom:link"), [body]):
            said = node.get("href") or node.text()
            if node.get("rel") in ("", "alternate", "next", "self") and said.strip():
                yield cleaned(said, base)
    except DataError:
        return


def _of_page(text: str, base: str) -> Iterator[str]:
    page = _Links()
    page.feed(text)
    page.close()
    start = cleaned(page.base, base) or base
    return (cleaned(url, start) for url in page.found)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.base = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        rel = said.get("rel", "").lower().split()
        if tag == "base" and not self.base:
            self.base = said.get("href", "")
        elif (tag in ("a", "area") and said.get("href") and "nofollow" not in rel) or (
            tag == "link" and said.get("href") and {"alternate", "next", "prev"} & set(rel)
        ):
            self.found.append(said["href"])
        elif tag in ("frame", "iframe") and re.match(r"https?:|/", said.get("src", "")):
            self.found.append(said["src"])
