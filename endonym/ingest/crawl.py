"""Fetch the pages of a site slowly and politely: robots.txt, delays, limits, and nothing twice; every page is kept as it came."""

from __future__ import annotations

import json
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any, cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener
from urllib.robotparser import RobotFileParser

from endonym import __version__
from endonym.ingest.links import cleaned, links
from endonym.ingest.warc import unpacked, write_response

AGENT = f"endonym-collect/{__version__}"
ARCHIVE = "pages.warc.gz"
STATE = ".collect.json"
MAX_BODY = 16 * 2**20
"""Bytes of one page; more is no page of text."""
MAX_WAIT = 300.0
"""Seconds that a server may ask us to wait before this site is left for another time."""
TRIES = 3
_SKIP = re.compile(r"\.(?:png|jpe?g|gif|webp|svg|ico|css|js|mjs|woff2?|ttf|mp[34]|m4a|og[gv]|wav|webm|avi|mov|zip|gz|7z|rar|exe|dmg|iso|docx?|xlsx?|pptx?|pdf|epub)$", re.I)  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """How much is fetched and how fast."""

    pages: int = 100
    depth: int = 3
    delay: float = 1.0
    timeout: float = 30.0


@dataclass
class State:
    """What is known after each page: written to disk, so that a run goes on where the last one stopped."""

    start: list[str] = field(default_factory=list)
    waiting: list[list[Any]] = field(default_factory=list)
    """Addresses still to be fetched, with their depth."""
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Address -> what came of it: `status`, `reason`, `date`, `etag`, `modified`, `bytes`."""

    @classmethod
    def load(cls, folder: Path) -> State:
        """The state of a folder, a new one where there is none."""
        file = folder / STATE
        return cls(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else cls()

    def save(self, folder: Path) -> None:
        """Write it beside the old one first: a kill in between leaves the old one whole."""
        part = folder / f"{STATE}.part"
        part.write_text(json.dumps(asdict(self), ensure_ascii=False, indent=1), encoding="utf-8")
        part.replace(folder / STATE)


@dataclass(frozen=True)
class Fetched:
    """One answer of a server, or the reason why there is none."""

    url: str
    status: int
    headers: dict[str, str]
    body: bytes
    reason: str = ""
    final: bool = True
    """Whether the next run need not try again."""


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Leave redirects to us: where they lead is checked first."""
        return None


def crawl(folder: Path, start: list[str], limits: Limits, say: Callable[[str, int, int], None]) -> Iterator[Fetched]:
    """Fetch from `start` on, breadth first, inside the sites that `start` names; yield what came of each address.

    Pages go to the archive in `folder` and what is known of each address to a file beside it, after every page. An address that
    was fetched before is not fetched again; a start address is asked whether it has changed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = State.load(folder)
    _mend(folder, state)
    for url in map(cleaned, start):
        if url not in state.start:
            state.start.append(url)
        if not any(url == other for other, _ in state.waiting):
            state.waiting.insert(0, [url, 0])
    # What failed before may be there now.
    for url, about in state.seen.items():
        if not about.get("final", True) and not any(url == other for other, _ in state.waiting):
            state.waiting.append([url, about.get("depth", 0)])
    sites = {urlsplit(url).netloc.lower() for url in state.start}
    fetcher = Fetcher(limits)
    queue, queued = deque(state.waiting), {url for url, _ in state.waiting}
    fetched, again = 0, set(map(cleaned, start))
    while queue and fetched < limits.pages:
        url, depth = queue.popleft()
        queued.discard(url)
        if url in state.seen and state.seen[url].get("final", True) and url not in again:
            continue
        again.discard(url)
        say(url, fetched, limits.pages)
        found = _checked(fetcher.get(url, state.seen.get(url, {})), sites)
        fetched += found.status > 0
        for other in _found(found, url, sites):
            if depth < limits.depth and other not in queued and other not in state.seen:
                queue.append([other, depth + 1])
                queued.add(other)
        size = _keep(folder, found)
        before = state.seen.get(url, {}) if found.status == 304 else {}
        state.seen[url] = {**before, **_about(found, size), "depth": depth}
        state.waiting = list(queue)
        state.save(folder)
        yield found
    state.waiting = list(queue)
    state.save(folder)


def _checked(found: Fetched, sites: set[str]) -> Fetched:
    """The answer, and of a redirect that leads away from the sites that it is not followed."""
    to = cleaned(found.headers.get("location", ""), found.url) if found.reason == "redirect" else ""
    return replace(found, reason=f"redirected to another site: {to}") if to and not _inside(to, sites) else found


def _found(found: Fetched, url: str, sites: set[str]) -> list[str]:
    """Addresses of pages on the same sites that an answer names, itself among them where it was redirected."""
    if found.reason == "redirect":
        to = cleaned(found.headers.get("location", ""), url)
        return [to] if _inside(to, sites) else []
    if found.status != 200 or found.reason:
        return []
    kind = found.headers.get("content-type", "")
    return [other for other in links(found.body, kind, url) if _inside(other, sites)]


def _inside(url: str, sites: set[str]) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and parts.netloc.lower() in sites and not _SKIP.search(parts.path)


def _about(found: Fetched, size: int) -> dict[str, Any]:
    kept = {"status": found.status, "reason": found.reason, "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "etag": found.headers.get("etag", ""), "modified": found.headers.get("last-modified", ""), "archive": size}  # fmt: skip
    about: dict[str, Any] = {key: value for key, value in kept.items() if value}
    if found.reason == "redirect":
        about["location"] = cleaned(found.headers.get("location", ""), found.url)
    return about if found.final else {**about, "final": False}


def _keep(folder: Path, found: Fetched) -> int:
    """Write a page to the archive; returns the archive's size, 0 when nothing was written."""
    if found.status != 200 or found.reason:
        return 0
    path = folder / ARCHIVE
    with path.open("ab") as file:
        # The body is written unpacked, so that headers about its packing would be wrong.
        headers = {name: value for name, value in found.headers.items()
                   if name not in ("content-encoding", "transfer-encoding", "content-length")}  # fmt: skip
        write_response(file, found.url, datetime.now(UTC), found.status, headers, found.body)
    return path.stat().st_size


def _mend(folder: Path, state: State) -> None:
    """Cut off what a killed run wrote behind the last page that is in the state: that page is fetched again."""
    path = folder / ARCHIVE
    size = max((int(about.get("archive", 0)) for about in state.seen.values()), default=0)
    if path.is_file() and path.stat().st_size > size:
        with path.open("r+b") as file:
            file.truncate(size)


class Fetcher:
    """Asks servers for pages: as robots.txt allows, not faster than the delay, and again when they are busy."""

    def __init__(self, limits: Limits, sleep: Callable[[float], None] = time.sleep):
        self.limits, self.sleep = limits, sleep
        self.opener = build_opener(_NoRedirect)
        self.robots: dict[str, RobotFileParser | None] = {}
        self.last: dict[str, float] = {}
        self.waited: Counter[str] = Counter()
        self.closed: set[str] = set()

    def get(self, url: str, before: dict[str, Any]) -> Fetched:
        """Fetch one address; never raises for what the network or a server does."""
        site = f"{urlsplit(url).scheme}://{urlsplit(url).netloc}"
        rules = self.rules(site)
        if rules is None:
            return Fetched(url, 0, {}, b"", "robots.txt cannot be read, so nothing is fetched", False)
        if not rules.can_fetch(AGENT, url):
            return Fetched(url, 0, {}, b"", "robots.txt refuses it")
        headers = {"If-None-Match": before.get("etag", ""), "If-Modified-Since": before.get("modified", "")}
        found = Fetched(url, 0, {}, b"", "not tried", False)
        for number in range(TRIES):
            if site in self.closed:
                return Fetched(url, 0, {}, b"", "the server asked for a longer pause", False)
            self.pause(site, rules)
            found = self.ask(url, headers)
            wait = self.busy(found, number)
            if wait is None:
                return found
            if wait > MAX_WAIT or number == TRIES - 1:
                self.closed.add(site)
                return found
            self.sleep(wait)
        return found

    def busy(self, found: Fetched, number: int) -> float | None:
        """Seconds to wait before asking again; None when the answer is an answer."""
        if found.status in (429, 503):
            return retry_after(found.headers.get("retry-after", ""), 5.0 * 2**number)
        return None

    def pause(self, site: str, rules: RobotFileParser) -> None:
        """Wait until the site may be asked again: our delay or the one in its robots.txt, whichever is longer."""
        rate = rules.request_rate(AGENT)
        asked = max(float(rules.crawl_delay(AGENT) or 0), rate.seconds / rate.requests if rate and rate.requests else 0)
        due = self.last.get(site, -1e9) + max(self.limits.delay, min(asked, MAX_WAIT))
        if due > time.monotonic():
            self.sleep(due - time.monotonic())
        self.last[site] = time.monotonic()

    def rules(self, site: str) -> RobotFileParser | None:
        """The rules of a site (RFC 9309): none where robots.txt is not there, None where the server fails to say."""
        if site not in self.robots:
            found = self.ask(f"{site}/robots.txt", {}, redirects=5)
            rules: RobotFileParser | None = RobotFileParser()
            assert rules is not None
            if found.status == 200 and not found.reason:
                rules.parse(found.body.decode("utf-8", errors="replace").splitlines())
            elif 400 <= found.status < 500 and found.status != 429:
                rules.parse([])
            else:
                rules = None
            self.robots[site] = rules
        return self.robots[site]

    def ask(self, url: str, headers: dict[str, str], redirects: int = 0) -> Fetched:
        """One request; the body is read up to `MAX_BODY` bytes."""
        about = {"User-Agent": AGENT, "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,text/plain;q=0.8,*/*;q=0.1",
                 "Accept-Encoding": "gzip", **{name: value for name, value in headers.items() if value}}  # fmt: skip
        try:
            try:
                answer = self.opener.open(Request(url, headers=about), timeout=self.limits.timeout)
            except HTTPError as error:
                answer = cast(Any, error)
            with answer:
                given = {name.lower(): value for name, value in answer.headers.items()}
                status = int(answer.status)
                if status in (301, 302, 303, 307, 308):
                    to = cleaned(given.get("location", ""), url)
                    return (
                        self.ask(to, headers, redirects - 1)
                        if redirects and to
                        else Fetched(url, status, given, b"", "redirect")
                    )
                body, reason = _body(answer, given)
        except (URLError, HTTPException, OSError, ValueError) as error:
            return Fetched(url, 0, {}, b"", f"no answer: {getattr(error, 'reason', None) or error}", False)
        reason = reason or ("" if status in (200, 304) else f"the server answered {status}")
        return Fetched(url, status, given, body, reason, status not in (429, 500, 502, 503, 504))


def _body(answer: Any, headers: dict[str, str]) -> tuple[bytes, str]:
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > MAX_BODY:
        return b"", f"{int(length):,} bytes, more than {MAX_BODY:,}"
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and not (kind.startswith("text/") or kind.endswith(("xml", "+xml", "json"))):
        return b"", f"{kind}, which is no page of text"
    raw = answer.read(MAX_BODY + 1)
    if length.isdecimal() and len(raw) < int(length):
        raise ConnectionError("the answer was cut short")
    if len(raw) > MAX_BODY:
        return b"", f"more than {MAX_BODY:,} bytes"
    return unpacked(raw, headers.get("content-encoding", ""))


def retry_after(value: str, otherwise: float) -> float:
    """Seconds of a Retry-After header, which is a number or a date (RFC 9110, section 10.2.3)."""
    if value.strip().isdecimal():
        return float(value)
    try:
        from email.utils import parsedate_to_datetime

        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return otherwise
