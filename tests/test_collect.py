"""Collecting from a site: robots.txt rules, nothing leaves the site, nothing is fetched twice, nothing breaks it."""

from __future__ import annotations

import gzip
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from test_ingest import make_project, run_ingest

from endonym.cli.main import main
from endonym.errors import UsageError
from endonym.ingest import crawl as crawling
from endonym.ingest.collect import collect, sites_of
from endonym.ingest.crawl import Fetcher, Limits, State, retry_after
from endonym.ingest.links import cleaned, links
from endonym.project import Project

QUICK = Limits(pages=50, depth=5, delay=0, timeout=5)
SPANISH = "me mojé mucho por la lluvia y después fui a mi terreno con toda la gente que estaba en la casa"


def page(text: str, *to: str, head: str = "") -> bytes:
    anchors = "".join(f'<a href="{url}">x</a>' for url in to)
    return f'<!doctype html><html lang="es"><head>{head}</head><body><nav>{anchors}</nav><p>{text}</p></body></html>'.encode()


class Site:
    """A server with a table of answers: path -> (status, headers, body), or a function of how often it was asked."""

    def __init__(self) -> None:
        self.answers: dict = {"/robots.txt": (404, {}, b"")}
        self.asked: dict[str, list] = defaultdict(list)
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked[self.path].append(dict(self.headers))
                answer = site.answers.get(self.path, (404, {}, b"nothing"))
                answer = answer(len(site.asked[self.path]), self.headers) if callable(answer) else answer
                status, headers, body = answer
                self.send_response(status)
                for name, value in {"Content-Type": "text/html", "Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def put(self, path: str, body: bytes, status: int = 200, **headers: str) -> None:
        self.answers[path] = (status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@pytest.fixture
def site() -> Iterator[Site]:
    one = Site()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def slept(monkeypatch) -> list[float]:
    """Seconds that would have been waited, instead of waiting."""
    waited: list[float] = []
    original = Fetcher.__init__
    monkeypatch.setattr(Fetcher, "__init__", lambda self, limits: original(self, limits, waited.append))
    return waited


def go(project: Project, site: Site, path: str = "/", limits: Limits = QUICK):
    return collect(project, site.host, [f"http://{site.host}{path}"], limits, lambda *_: None)


def texts(project: Project) -> list[str]:
    return [record.text for record in run_ingest(Project(project.path)).records()]


def test_a_site_becomes_a_source_as_its_robots_txt_allows(tmp_path, site, slept):
    site.put("/robots.txt", b"User-agent: *\nDisallow: /secret\nCrawl-delay: 7\n")
    licence = '<link rel="license" href="https://creativecommons.org/licenses/by/4.0/">'
    site.put(
        "/",
        page(SPANISH, "/a", "/secret/b", "/a#part", "/pic.png", "http://elsewhere.invalid/x", "/feed", head=licence),
    )
    site.put("/a", page(f"{SPANISH} otra vez", "/", "/a", "a?x=1"))
    site.put("/a?x=1", page(f"{SPANISH} otra vez", "/", "/a", "a?x=1"))
    site.put(
        "/feed",
        f"<rss><channel><item><link>http://{site.host}/item</link></item></channel></rss>".encode(),
        Content_Type="application/rss+xml",
    )
    site.put("/item", gzip.compress(page(f"{SPANISH} ayer")), Content_Encoding="gzip")
    project = make_project(tmp_path / "p")
    done = go(project, site)
    assert done.finding and done.finding.added, done.finding
    assert {path for path, calls in site.asked.items() if calls} == {
        "/robots.txt",
        "/",
        "/a",
        "/a?x=1",
        "/feed",
        "/item",
    }
    assert all(len(calls) == 1 for calls in site.asked.values())
    assert all("endonym-collect" in call["User-Agent"] for calls in site.asked.values() for call in calls)
    assert done.left_out == {"robots.txt refuses it": 1}
    assert len(slept) == 4 and all(6 < wait <= 7 for wait in slept)
    assert texts(project) == [SPANISH, f"{SPANISH} otra vez", f"{SPANISH} ayer"]
    data = run_ingest(Project(project.path))
    first = next(data.records())
    assert first.meta["url"] == f"http://{site.host}/"
    assert first.meta["licence"] == "https://creativecommons.org/licenses/by/4.0/"
    assert first.meta["date"]
    assert {line["reason"] for line in data.ledger()} == {"warc.menu", "warc.same_page", "warc.no_page"}


def test_it_goes_on_where_it_stopped_and_asks_whether_the_start_has_changed(tmp_path, site):
    def start(number: int, headers) -> tuple:
        if headers.get("If-None-Match") == '"v1"':
            return 304, {}, b""
        return (
            200,
            {"ETag": '"v1"', "Last-Modified": "Tue, 02 Jan 2024 03:04:05 GMT"},
            page(SPANISH, *(f"/{n}" for n in range(6))),
        )

    site.answers["/"] = start
    for n in range(6):
        site.put(f"/{n}", page(f"{SPANISH} {n}"))
    project = make_project(tmp_path / "p")
    few = Limits(pages=3, depth=5, delay=0)
    first = go(project, site, limits=few)
    assert (first.pages, first.waiting) == (3, 4)
    # A kill while a page is being written: the half page is cut off and fetched again.
    archive = project.path / first.folder / crawling.ARCHIVE
    with archive.open("ab") as file:
        file.write(archive.read_bytes()[:50])
    second = go(project, site, limits=few)
    assert (second.pages, second.unchanged, second.waiting) == (2, 1, 2)
    third = go(project, site)
    assert (third.pages, third.waiting) == (2, 0)
    assert all(len(site.asked[f"/{n}"]) == 1 for n in range(6))
    assert len(site.asked["/"]) == 3
    assert sorted(texts(project)) == sorted([SPANISH, *(f"{SPANISH} {n}" for n in range(6))])
    site.answers["/"] = (200, {}, page(f"{SPANISH} cambiado"))
    assert go(project, site).pages == 1
    assert f"{SPANISH} cambiado" in texts(project) and SPANISH not in texts(project)


def test_what_a_server_does_wrong_stops_nothing(tmp_path, site, slept, monkeypatch):
    monkeypatch.setattr(crawling, "MAX_BODY", 2**18)
    busy = [(429, {"Retry-After": "3"}, b""), (503, {}, b""), (200, {}, page(f"{SPANISH} por fin"))]
    site.answers["/busy"] = lambda number, _: busy[number - 1]
    site.put(
        "/",
        page(
            SPANISH,
            "/busy",
            "/away",
            "/loop",
            "/huge",
            "/endless",
            "/latin",
            "/picture",
            "/gone",
            "/bomb",
            "/moved",
            "/br",
        ),
    )
    site.put("/away", b"", 302, Location="http://elsewhere.invalid/")
    site.put("/loop", b"", 301, Location="/loop2")
    site.put("/loop2", b"", 301, Location="/loop")
    site.put("/moved", b"", 301, Location="/new")
    site.put("/new", page(f"{SPANISH} nuevo"))
    site.put("/huge", b"x" * 2**19)
    site.answers["/endless"] = (200, {"Content-Length": str(2**15)}, b"cut short")
    site.put("/latin", page(f"{SPANISH} año").decode().encode("latin-1"), Content_Type="text/html; charset=utf-8")
    site.put("/picture", b"\x89PNG", Content_Type="image/png")
    site.put("/bomb", gzip.compress(b"\0" * 2**27), Content_Encoding="gzip")
    site.put("/br", b"x", Content_Encoding="br")
    project = make_project(tmp_path / "p")
    done = go(project, site)
    assert sorted(texts(project)) == sorted([SPANISH, *(f"{SPANISH} {word}" for word in ("por fin", "año", "nuevo"))])
    assert [wait for wait in slept if wait > 1] == [3.0, 10.0]
    reasons = " | ".join(done.left_out)
    for said in (
        "redirected to another site",
        "the server answered 404",
        "image/png",
        "524,288 bytes",
        "MiB",
        "no answer",
        "br,",
    ):
        assert said in reasons, said
    assert done.left_out["redirect"] == 3


def test_a_site_that_asks_for_a_long_pause_is_left_and_tried_again_later(tmp_path, site, slept):
    site.put("/", page(SPANISH, "/a", "/b"))
    site.put("/a", b"", 503, Retry_After="86400")
    site.put("/b", page(f"{SPANISH} b"))
    project = make_project(tmp_path / "p")
    go(project, site)
    assert not site.asked["/b"]
    assert not any(wait > 1 for wait in slept)
    site.put("/a", page(f"{SPANISH} a"))
    go(project, site)
    assert set(texts(project)) == {SPANISH, f"{SPANISH} a", f"{SPANISH} b"}


@pytest.mark.parametrize("status", [500, 429])
def test_without_a_readable_robots_txt_nothing_is_fetched(tmp_path, site, slept, status):
    site.put("/robots.txt", b"", status)
    site.put("/", page(SPANISH))
    done = go(make_project(tmp_path / "p"), site)
    assert not site.asked["/"]
    assert done.finding is None
    assert "robots.txt" in next(iter(done.left_out))


def test_pages_and_depth_are_limits(tmp_path, site):
    for n in range(9):
        site.put(f"/{n}", page(f"{SPANISH} {n}", f"/{n + 1}"))
    go(make_project(tmp_path / "p"), site, "/0", Limits(pages=50, depth=3, delay=0))
    assert [path for path in site.asked if path != "/robots.txt"] == ["/0", "/1", "/2", "/3"]
    go(make_project(tmp_path / "q"), site, "/0", Limits(pages=2, depth=9, delay=0))
    assert len(site.asked["/1"]) == 2 and len(site.asked["/2"]) == 1


def test_the_command_says_first_what_it_will_do(tmp_path, site, capsys, monkeypatch):
    site.put("/", page(SPANISH, "/a"))
    site.put("/a", page(f"{SPANISH} a"))
    project = make_project(tmp_path / "p")
    url, where = f"http://{site.host}/", ["--project", str(project.path)]
    assert main(["collect", url, "--offline", "--json", *where]) == 4
    assert not site.asked
    capsys.readouterr()
    assert main(["collect", url, "--delay", "0", "--json", "--licence", "CC0", *where]) == 0
    shown = capsys.readouterr()
    assert shown.err.index("up to 100 pages") < shown.err.index(f"1/100  {url}")
    (found,) = json.loads(shown.out)["sites"]
    assert (found["pages"], found["finding"]["added"]) == (2, True)
    assert Project(project.path).sources[0]["licence"] == "CC0"
    assert main(["collect", "ftp://x.org/", *where]) == 2
    assert "example.org" in capsys.readouterr().err


def test_addresses_have_one_spelling():
    base = "https://Example.org/a/b.html"
    assert cleaned("../c#d", base) == "https://example.org/c"
    assert cleaned("https://EXAMPLE.org:443") == "https://example.org/"
    assert cleaned("/ñ b?q=á", base) == "https://example.org/%C3%B1%20b?q=%C3%A1"
    assert cleaned("/%C3%B1", base) == "https://example.org/%C3%B1"
    assert cleaned("//ñandu.org/x", base) == "https://xn--andu-fqa.org/x"
    assert [cleaned(bad, base) for bad in ("http://[bad", "http://x:y/", "/" + "x" * 5000, "mailto:a@b")] == [""] * 4
    assert list(sites_of(["example.org/x", "https://example.org/y"])) == ["example.org"]
    with pytest.raises(UsageError):
        sites_of(["javascript:alert(1)"])


@pytest.mark.parametrize(
    ("body", "kind", "found"),
    [
        ('<feed><entry><link href="/1"/></entry><entry><link rel="edit" href="/e"/></entry></feed>', "application/atom+xml", ["/1"]),
        ("<urlset><url><loc>https://x.org/2</loc></url></urlset>", "text/xml", ["/2"]),
        ("<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///c'>]><urlset><loc>&b;</loc></urlset>", "text/xml", []),
        ("<rss><item><link>/3</link>", "text/xml", ["/3"]),
        ('<base href="/d/"><a href="4">x</a><a rel="nofollow" href="5">x</a><link rel=alternate href=/6>', "text/html", ["/d/4", "/6"]),
    ],
)  # fmt: skip
def test_links_of_pages_feeds_and_sitemaps(body, kind, found):
    assert links(body.encode(), kind, "https://x.org/") == [f"https://x.org{path}" for path in found]


def test_retry_after_is_a_number_or_a_date():
    assert retry_after("120", 5) == 120
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT", 5) == 0
    assert retry_after("soon", 5) == 5


def test_the_state_survives_a_kill_while_it_is_written(tmp_path):
    State(["a"], [["b", 1]], {}).save(tmp_path)
    Path(tmp_path, f"{crawling.STATE}.part").write_text("{half", encoding="utf-8")
    assert State.load(tmp_path).waiting == [["b", 1]]
