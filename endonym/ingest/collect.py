"""Collect pages of web sites into the project's raw/collected folder and make each site a source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from endonym.errors import UsageError
from endonym.ingest.add import add
from endonym.ingest.crawl import AGENT, ARCHIVE, Limits, State, crawl
from endonym.ingest.finding import Finding
from endonym.ingest.links import cleaned

if TYPE_CHECKING:
    from endonym.project import Project


@dataclass
class Collected:
    """What came of one site."""

    site: str
    folder: str
    """Relative to the project."""
    pages: int = 0
    """Pages kept in this run."""
    unchanged: int = 0
    waiting: int = 0
    """Addresses that are known and not yet fetched."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Reason -> number of addresses."""
    finding: Finding | None = None

    def as_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        finding = self.finding.as_json() if self.finding else None
        return {**vars(self), "left_out": dict(self.left_out), "finding": finding}


def sites_of(urls: Iterable[str]) -> dict[str, list[str]]:
    """Start addresses by site. Raises UsageError for what is no web address."""
    found: dict[str, list[str]] = {}
    for url in urls:
        whole = cleaned(url if "://" in url else f"https://{url}")
        if urlsplit(whole).scheme not in ("http", "https"):
            raise UsageError(f"'{url}' is no web address", "Write it as https://example.org/news/")
        found.setdefault(urlsplit(whole).netloc, []).append(whole)
    return found


def folder_of(project: Project, site: str) -> Path:
    """Where the pages of a site are kept."""
    return project.path / "raw" / "collected" / site.replace(":", "_")


def plan(project: Project, sites: dict[str, list[str]], limits: Limits) -> str:
    """What is going to happen, in words: said before the first call goes out."""
    lines = []
    for site, urls in sites.items():
        state = State.load(folder_of(project, site))
        known = f" {len(state.seen):,} addresses were fetched before and are not fetched again." if state.seen else ""
        lines.append(
            f"{site}: up to {limits.pages:,} pages from {', '.join(urls)} on, at most {limits.depth} links away, one every "
            f"{limits.delay:g} s or as slowly as its robots.txt asks.{known}"
        )
    lines.append(f"The servers see this computer's address and the name {AGENT}; nothing of the project is sent.")
    return "\n".join(lines)


def collect(
    project: Project,
    site: str,
    urls: list[str],
    limits: Limits,
    say: Callable[[str, int, int], None],
    *,
    licence: str = "",
    attribution: str = "",
    offline: bool = False,
) -> Collected:
    """Fetch the pages of one site and add them as a source. `offline` only adds what was fetched before."""
    folder = folder_of(project, site)
    done = Collected(site, folder.relative_to(project.path).as_posix())
    if not offline:
        for found in crawl(folder, urls, limits, say):
            if found.status == 304:
                done.unchanged += 1
            elif found.reason:
                done.left_out[
                    found.reason.partition(":")[0] if found.reason.startswith("redirect") else found.reason
                ] += 1
            else:
                done.pages += 1
    done.waiting = len(State.load(folder).waiting)
    archive = folder / ARCHIVE
    if archive.is_file():
        (done.finding,) = add(project, [archive], licence=licence, attribution=attribution)
    return done
