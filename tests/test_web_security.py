"""Attacks on the studio, each of which must fail: from other web pages, other computers, hostile files, and odd requests."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import io
import json
import os
import pickle
import re
import socket
import stat
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import httpx
import pytest

from endonym.cli.commands.studio import _running as running
from endonym.web.app import create_app
from endonym.web.guard import MAX_UPLOAD_BYTES
from endonym.web.session import COOKIE, Sessions
from endonym.web.uploads import safe_name

if TYPE_CHECKING:
    from conftest import Studio

TOKEN = "t" * 43
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
OPEN = {"/enter": 403, "/api/v1/prove": 422}
"""What answers to anybody, and how it does to those who have no code and bring no nonce."""
PLACES = {
    "project": "victim",
    "job": "1",
    "record": "r",
    "file": "0" * 16,
    "conversation": "0" * 32,
    "path": "output/x",
    "name": "m",
    "tuning": "ftjob-1",
}


def routes() -> list[str]:
    """Every address the application answers to, with something in its places; found in the application itself."""
    found = {re.sub(r"{(\w+)(:path)?}", lambda m: PLACES[m[1]], one) for one in paths(create_app(Path(), TOKEN).app)}
    return sorted(
        found | {"/static/x.js", "/", "/nothing", "/api", "/docs", "/openapi.json", "/redoc", "//api/v1/projects"}
    )


def paths(app: Any) -> Iterator[str]:
    for route in app.routes:
        original = getattr(route, "original_router", None)
        if original is not None:
            yield from paths(original)
        elif hasattr(route, "path"):
            yield str(route.path)


@pytest.fixture(scope="module")
def victim(studio: Studio) -> Studio:
    """The studio with a project that has something to steal."""
    with studio.program() as client:
        client.post("/api/v1/projects", json={"name": "victim", "language": "tzh", "pivot": "spa"})
    (studio.home / "secret.txt").write_text("the secret of the house")
    return studio


def raw(studio: Studio, head: str, body: bytes = b"") -> tuple[int, bytes]:
    """Send bytes as they are and read the first answer; status 0 where the connection is closed without one."""
    parts = urlsplit(studio.base)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode("latin-1") + body)
        connection.settimeout(20)
        answer = b""
        try:
            while chunk := connection.recv(65536):
                answer += chunk
                begun, _, body_so_far = answer.partition(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", begun.lower())
                if length and len(body_so_far) >= int(length[1]):
                    break
        except (TimeoutError, ConnectionResetError):
            pass
    return (int(answer.split()[1]) if answer else 0), answer


def host(studio: Studio) -> str:
    return urlsplit(studio.base).netloc


# Doors


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("key", ["none", "wrong bearer", "forged cookie", "basic", "bearer twice", "in the address"])
def test_every_route_is_closed_without_the_token(victim: Studio, method: str, key: str):
    headers = {
        "wrong bearer": [("Authorization", "Bearer " + "x" * 43)],
        "forged cookie": [("Cookie", f"{COOKIE}=9999999999.{'0' * 32}.{'0' * 64}")],
        "basic": [("Authorization", "Basic dXNlcjpwYXNz")],
        "bearer twice": [("Authorization", f"Bearer {victim.token}")] * 2,
    }.get(key, [])
    connection = http.client.HTTPConnection(host(victim), timeout=30)
    for route in routes():
        address = f"{route}?token={victim.token}&access_token={victim.token}" if key == "in the address" else route
        connection.putrequest(method, address, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.putheader("Content-Length", "0")
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
        if route in OPEN and method == "GET":
            assert answer.status == OPEN[route], route
        else:
            assert answer.status == 401, f"{method} {route}: {answer.status}"
        assert b"victim" not in body
    connection.close()


def test_the_list_of_routes_is_the_applications_own():
    found = routes()
    assert len(found) > 60
    documented = create_app(Path(), TOKEN).app.openapi()["paths"]
    filled = {re.sub(r"{(\w+)(:path)?}", lambda m: PLACES[m[1]], path) for path in documented}
    assert filled <= set(found)


def test_a_code_opens_once(victim: Studio):
    with victim.program() as client:
        address = client.post("/api/v1/enter", json={}).json()["path"]
    assert httpx.get(victim.base + address).status_code == 303
    assert httpx.get(victim.base + address).status_code == 403


def test_many_at_once_get_one_session_for_one_code():
    from concurrent.futures import ThreadPoolExecutor

    sessions = Sessions(TOKEN)
    code = sessions.new_code()
    with ThreadPoolExecutor(8) as pool:
        assert sum(one is not None for one in pool.map(lambda _: sessions.enter(code), range(64))) == 1


@pytest.mark.parametrize("code", ["", "x", "0" * 43, "%00", "../../", "a" * 5000])
def test_a_wrong_code_opens_nothing(victim: Studio, code: str):
    answer = httpx.get(f"{victim.base}/enter", params={"code": code})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_a_code_is_good_for_minutes_only(monkeypatch: pytest.MonkeyPatch):
    sessions = Sessions(TOKEN)
    code, late = sessions.new_code(), __import__("time").monotonic() + 601
    monkeypatch.setattr("endonym.web.session.time.monotonic", lambda: late)
    assert sessions.enter(code) is None


@pytest.mark.parametrize(
    "page", ["//evil.example", "https://evil.example", "/\\evil.example", "/p/../..//evil.example", "javascript:x"]
)
def test_the_way_in_leads_nowhere_else(victim: Studio, page: str):
    with victim.program() as client:
        assert client.post("/api/v1/enter", json={"page": page}).status_code == 422


class Greedy(BaseHTTPRequestHandler):
    """Holds the port and wants the token; asked for a proof, it has none, an odd one, or the one of the real studio."""

    server: Any
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.heard.append(f"{self.requestline} {self.headers}")
        told = self.server.answer(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *said: Any) -> None:
        pass


@pytest.mark.parametrize("kind", ["none", "no json", "a list", "a wrong proof", "not ascii", "the studio's own proof"])
def test_the_token_is_not_said_to_whoever_holds_the_port(victim: Studio, kind: str):
    def answer(path: str) -> bytes:
        if kind == "the studio's own proof" and "prove" in path:
            return httpx.get(victim.base + path, headers={"Host": "127.0.0.1:8400"}).content
        known = {
            "no json": "<html>",
            "a list": "[1]",
            "a wrong proof": json.dumps({"proof": "0" * 64}),
            "not ascii": '{"proof": "é"}',
        }
        return known.get(
            kind, json.dumps({"name": "endonym", "home": str(victim.home), "path": "/enter?code=x"})
        ).encode()

    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Greedy)
    server.heard, server.answer = [], answer
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        args = SimpleNamespace(host="127.0.0.1", port=server.server_port)
        assert running(args, victim.home, victim.token, "/") == ""
    finally:
        server.shutdown()
        server.server_close()
    assert server.heard
    assert not [one for one in server.heard if victim.token in one or "authorization" in one.lower()]


def test_the_studio_that_runs_is_found_by_who_has_its_token(victim: Studio):
    parts = urlsplit(victim.base)
    args = SimpleNamespace(host=parts.hostname, port=parts.port)
    address = running(args, victim.home, victim.token, "/p/victim")
    assert httpx.get(address).headers["location"] == "/p/victim"
    assert running(args, victim.home, "x" * 43, "/") == running(args, victim.home / "other", victim.token, "/") == ""


def test_cookies_are_signed_end_and_do_not_survive_another_token(monkeypatch: pytest.MonkeyPatch):
    sessions = Sessions(TOKEN)
    entered = sessions.enter(sessions.new_code())
    assert entered is not None
    good = entered[0]
    assert sessions.known([f"{COOKIE}={good}".encode()])
    until, nonce, signature = good.split(".")
    for forged in (
        f"{int(until) + 1}.{nonce}.{signature}", f"{until}.{'0' * 32}.{signature}", f"{until}.{nonce}.{'0' * 64}",
        f"{until}.{nonce}", f"{until}.{nonce}.", signature, "", f"{until}.{nonce}.{signature}x", "9" * 5000,
    ):  # fmt: skip
        assert not sessions.known([f"{COOKIE}={forged}".encode()])
    assert not sessions.known([f"{COOKIE}={good}; {COOKIE}={good}".encode()])
    assert not sessions.known([f"{COOKIE}={good}".encode()] * 2)
    assert not Sessions("u" * 43).known([f"{COOKIE}={good}".encode()])
    monkeypatch.setattr("endonym.web.session.time.time", lambda: int(until) + 1)
    assert not sessions.known([f"{COOKIE}={good}".encode()])


def test_the_token_lies_where_only_its_owner_reads_it(victim: Studio):
    path = victim.home / ".endonym" / "token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text().strip()) >= 43


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.5", "localhost.evil.example"])
def test_the_network_is_not_let_in_without_a_chosen_token(tmp_path: Path, address: str):
    ran = subprocess.run(
        [sys.executable, "-m", "endonym", "studio", str(tmp_path), "--host", address, "--no-browser"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 2
    assert "--token" in ran.stderr


# Other web pages


@pytest.mark.parametrize(
    "name",
    ["evil.example", "evil.example:8400", "127.0.0.1.evil.example", "localhost@evil.example", "evil.example@localhost",
     "localhost/evil", "localhost#x", "10.0.0.1", "0.0.0.0", "localhost:80:80", "", " ", "[::1", "localhost\\evil", "127.1"],
)  # fmt: skip
def test_a_rebound_or_odd_host_is_turned_away_even_with_the_token(victim: Studio, name: str):
    status, body = raw(victim, f"GET /api/v1/projects HTTP/1.1\nHost: {name}\nAuthorization: Bearer {victim.token}\n\n")
    assert status in (400, 421)
    assert b"victim" not in body


@pytest.mark.parametrize(
    "lines",
    ["Host: {host}\nHost: evil.example", "Host: evil.example\nHost: {host}", "Host: {host}\nHost: {host}", "X-Forwarded-Host: {host}",
     "Host: {host}\n Host: evil.example", "Host : {host}"],
)  # fmt: skip
def test_two_hosts_or_none_are_turned_away(victim: Studio, lines: str):
    status, body = raw(
        victim,
        f"GET /api/v1/projects HTTP/1.1\n{lines.format(host=host(victim))}\nAuthorization: Bearer {victim.token}\n\n",
    )
    assert status in (400, 421)
    assert b"victim" not in body


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost:1", "http://127.0.0.1.evil.example", "file://", "chrome-extension://x",
     "{base}.evil.example", "{base}/x", "{base}@evil.example", "ftp://{host}"],
)  # fmt: skip
def test_another_page_is_turned_away_even_with_a_session(victim: Studio, method: str, origin: str):
    said = origin.format(base=victim.base, host=host(victim))
    with victim.browser() as browser:
        browser.headers.update({"Origin": said, "Sec-Fetch-Site": "cross-site"})
        answer = browser.request(method, "/api/v1/projects")
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]
    with victim.program(Origin=said) as program:
        assert program.request(method, "/api/v1/projects").status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "x", "same-origin, cross-site"])
def test_what_the_browser_says_of_the_page_that_asks_counts(victim: Studio, site: str):
    with victim.browser() as browser:
        browser.headers.update({"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"})
        del browser.headers["Origin"]
        assert browser.get("/api/v1/projects").status_code == 403
        assert browser.get("/api/v1/projects/victim/stream").status_code == 403
        assert browser.post("/api/v1/projects", json={"name": "x", "language": "tzh"}).status_code == 403


def test_a_cookie_alone_changes_nothing(victim: Studio):
    with victim.browser() as browser:
        del browser.headers["Origin"], browser.headers["Sec-Fetch-Site"]
        assert browser.get("/api/v1/projects").status_code == 200
        assert browser.post("/api/v1/projects", json={"name": "x", "language": "tzh"}).status_code == 403
        assert browser.delete("/api/v1/projects/victim/files/" + "0" * 16).status_code == 403
        # A form of another page: no Origin in old browsers, and a body that needs no permission to be sent.
        form = browser.post(
            "/api/v1/projects", content=b'{"name":"x","language":"tzh"}', headers={"Content-Type": "text/plain"}
        )
        assert form.status_code == 403


def test_a_form_cannot_pass_for_json(victim: Studio):
    with victim.program() as program:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            sent = program.post(
                "/api/v1/projects", content=b'{"name":"forged","language":"tzh"}', headers={"Content-Type": kind}
            )
            assert sent.status_code == 422
    assert not (victim.home / "forged").exists()


def test_a_preflight_gets_no_permission(victim: Studio):
    asked = {
        "Origin": "https://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Private-Network": "true",
    }
    answer = httpx.options(f"{victim.base}/api/v1/projects", headers=asked)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_stream_is_closed_to_others(victim: Studio):
    address = f"{victim.base}/api/v1/projects/victim/stream"
    assert httpx.get(address).status_code == 401
    with victim.browser() as browser:
        assert browser.get(address, headers={"Origin": "https://evil.example"}).status_code == 403


@pytest.mark.parametrize("path", ["/", "/api/v1/projects", "/v1/models", "/nothing"])
def test_web_sockets_are_closed(tmp_path: Path, path: str):
    app, sent = create_app(tmp_path, TOKEN), []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {TOKEN}".encode())]
    asyncio.run(app({"type": "websocket", "path": path, "headers": headers}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_an_upgrade_is_not_made(victim: Studio):
    status, _ = raw(
        victim,
        f"GET /api/v1/projects/victim/stream HTTP/1.1\nHost: {host(victim)}\nConnection: Upgrade\nUpgrade: websocket\n"
        "Sec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n",
    )
    assert status == 401


@pytest.mark.parametrize("path", ["/", "/p/victim", "/api/v1/projects", "/nothing", "/static/none.js", "/enter"])
def test_every_answer_forbids_what_pages_could_be_used_for(victim: Studio, path: str):
    with victim.browser() as browser:
        headers = browser.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers


# Ways out of the folder

OUT = [
    "..", "../victim", "..%2f..%2fetc", "%2e%2e", "%2e%2e%2f", "....//", ".endonym", "victim%2f..%2fvictim", "victim/..", "%00", "victim%00",
    "..\\\\", "%5c..%5c", "C:\\\\", "/etc", "~", "a" * 3000, "%ff%fe", "victim ", "VICTIM", "victim.", "./victim", "con", "%u002e%u002e",
]  # fmt: skip


@pytest.mark.parametrize("name", OUT)
@pytest.mark.parametrize(
    "rest", ["", "/jobs", "/files", "/stream", "/ratings/preferences.jsonl", "/datasets/1/records"]
)
def test_a_project_is_a_name_and_no_path(victim: Studio, name: str, rest: str):
    status, body = raw(
        victim,
        f"GET /api/v1/projects/{name.replace(' ', '%20')}{rest} HTTP/1.1\nHost: {host(victim)}\n"
        f"Authorization: Bearer {victim.token}\nConnection: close\n\n",
    )
    # What a client would resolve itself before sending may lead to another address of the API, never to a file.
    assert status in (200, 400, 404, 405, 422)
    assert b"secret" not in body
    assert b"root:" not in body
    if status == 200:
        assert json.loads(body.partition(b"\r\n\r\n")[2]).keys() <= {"projects", "jobs", "total", "sources"}


@pytest.fixture(scope="module")
def run_folder(victim: Studio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Job 1 of the victim, with links that lead out of its folder."""
    from endonym.project import Project
    from endonym.store import jobs
    from endonym.store.process import identity

    project = Project(victim.home / "victim")
    if not (project.runs / "0001-ingest").exists():
        row = jobs.find_or_create(project.db, "ingest", "", "key", {"stage": {}, "plugins": {}}, {})
        jobs.claim(project.db, row.id, identity())
        jobs.finish(project.db, row.id, "cancelled", {}, {})
        folder = project.runs / row.folder
        (folder / "output").mkdir(parents=True)
        (folder / "output" / "good.txt").write_text("good")
        (folder / "output" / "link.txt").symlink_to(victim.home / "secret.txt")
        (folder / "output" / "out").symlink_to(victim.home)
        (folder / "log.txt").symlink_to(victim.home / "secret.txt")
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "hidden.txt").write_text("hidden")
    project.db.close()
    return victim.home / "victim"


@pytest.mark.parametrize(
    "path",
    ["output/../../../endonym.toml", "..%2f..%2fendonym.toml", "output/%2e%2e/%2e%2e/%2e%2e/secret.txt", "output/link.txt", "output/out/secret.txt",
     "output/out/.endonym/token", "/etc/passwd", "%2fetc%2fpasswd", "output//etc/passwd", "output/..%5c..%5csecret.txt", "log.txt", "output/%00",
     "checkpoints/hidden.txt", "output/good.txt%00.png", "output/good.txt/", "output/./good.txt", "output/" + "a" * 5000, "output", "",
     "C:%5cwindows", "output/%c0%ae%c0%ae/x", "~/.ssh/id_rsa", "output/good.txt/../../log.txt"],
)  # fmt: skip
def test_only_the_files_of_a_job_can_be_taken(victim: Studio, run_folder: Path, path: str):
    status, body = raw(
        victim,
        f"GET /api/v1/projects/victim/jobs/1/files/{path} HTTP/1.1\nHost: {host(victim)}\nAuthorization: Bearer {victim.token}\n"
        "Connection: close\n\n",
    )
    assert status in (400, 404, 307), body
    assert b"secret of the house" not in body
    assert b"root:" not in body
    assert b"hidden" not in body


def test_what_is_a_file_of_the_job_can(victim: Studio, run_folder: Path):
    with victim.program() as client:
        assert client.get("/api/v1/projects/victim/jobs/1/files/output/good.txt").text == "good"
        listed = [one["path"] for one in client.get("/api/v1/projects/victim/jobs/1/files").json()["files"]]
        assert "secret" not in client.get("/api/v1/projects/victim/jobs/1/log").json()["text"]
    assert "output/link.txt" not in listed
    assert not [path for path in listed if path.startswith("output/out")]


def test_a_link_in_the_home_is_no_project(victim: Studio, tmp_path: Path):
    from endonym.project import Project

    Project.create(tmp_path / "elsewhere", language="tzh")
    link = victim.home / "linked"
    link.symlink_to(tmp_path / "elsewhere")
    try:
        with victim.program() as client:
            assert client.get("/api/v1/projects/linked").status_code == 404
            assert "linked" not in [one["id"] for one in client.get("/api/v1/projects").json()["projects"]]
    finally:
        link.unlink()


def test_a_linked_place_for_material_is_not_written_to(victim: Studio, tmp_path: Path):
    with victim.program() as client:
        client.post("/api/v1/projects", json={"name": "linked material", "language": "tzh"})
        (victim.home / "linked-material" / "material").symlink_to(tmp_path)
        sent = client.post("/api/v1/projects/linked-material/files", files={"files": ("a.txt", b"x")})
    assert sent.status_code == 400
    assert not list(tmp_path.iterdir())


# Uploads

NAMES = {
    "../../endonym.toml": "endonym.toml", "..\\\\..\\\\x.tsv": "x.tsv", "/etc/passwd": "passwd", "a\x00b.txt": "a_b.txt", "": "file",
    ".": "file", "..": "file", ".htaccess": "htaccess", "con.txt": "_con.txt", "NUL": "_NUL", "a b (c).tsv": "a b (c).tsv",
    "x\u202egpj.exe": "x_gpj.exe", "ትግርኛ_01.txt": "ትግርኛ_01.txt", "<img src=x>.txt": "_img src=x_.txt".replace("=", "_"),
    "$(reboot).txt": "_(reboot).txt", "a;b|c&d.txt": "a_b_c_d.txt", "-rf.txt": "-rf.txt", "x.txt\n": "x.txt_", "name.": "name",
}  # fmt: skip


@pytest.mark.parametrize(("said", "kept"), NAMES.items())
def test_names_are_made_safe(said: str, kept: str):
    assert safe_name(said) == kept


@pytest.mark.parametrize("said", ["x" * 5000 + ".tsv", "ት" * 500 + ".txt", "a." + "b" * 500, "🔥" * 300])
def test_long_names_are_cut(said: str):
    assert 0 < len(safe_name(said).encode()) <= 140


def zipped(entries: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return out.getvalue()


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/endonym-was-here",)


def hostile() -> dict[str, tuple[str, bytes]]:
    """Files that must not be taken, by what is wrong with each."""
    zeros = b"0" * (80 << 20)
    return {
        "pickle by name": ("model.pkl", b"x"),
        "torch by name": ("pytorch_model.bin", b"x"),
        "pickle by content": ("words.txt", pickle.dumps(Evil(), protocol=4)),
        "pickle of protocol 2": ("words.csv", pickle.dumps(Evil(), protocol=2)),
        "torch archive": ("model.zip", zipped({"archive/data.pkl": b"x", "archive/version": b"3"})),
        "torch archive by another name": ("letters.docx", zipped({"word/data.pkl": b"x"})),
        "zip bomb": ("book.docx", zipped({"[Content_Types].xml": b"x", "word/document.xml": zeros})),
        "too many entries": ("book.epub", zipped({f"META-INF/{i}": b"" for i in range(10_001)})),
        "gzip bomb": ("text.txt.gz", gzip.compress(zeros)),
        "names that lead out": ("book.odt", zipped({"mimetype": b"application/vnd.oasis.opendocument.text", "../../x": b"x"})),
        "not an archive": ("book.docx", b"PK\x03\x04 and nothing"),
        "program": ("tool.txt", b"\x7fELF" + bytes(200)),
        "empty": ("empty.txt", b""),
        "entity bomb": ("memory.tmx", b'<?xml version="1.0"?><!DOCTYPE tmx [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><tmx version="1.4"><body><tu><tuv xml:lang="es"><seg>&b;</seg></tuv><tuv xml:lang="tzh"><seg>x</seg></tuv></tu></body></tmx>'),
        "foreign entity": ("memory2.tmx", b'<?xml version="1.0"?><!DOCTYPE tmx [<!ENTITY x SYSTEM "file:///etc/passwd">]><tmx version="1.4"><body><tu><tuv xml:lang="es"><seg>&x;</seg></tuv><tuv xml:lang="tzh"><seg>x</seg></tuv></tu></body></tmx>'),
    }  # fmt: skip


def test_hostile_files_are_not_kept(victim: Studio):
    with victim.program() as client:
        client.post("/api/v1/projects", json={"name": "hostile", "language": "tzh", "pivot": "spa"})
        files = hostile()
        sent = [("files", (f"{i:02} {name}", content)) for i, (name, content) in enumerate(files.values())]
        answer = client.post("/api/v1/projects/hostile/files", files=sent)
        assert answer.status_code == 201
        kept = {name for one in answer.json()["sources"] if one["added"] for name in one["files"]}
        assert not kept
        wrong = {one["files"][0]["name"] for one in answer.json()["sources"] if one["problems"]}
        assert wrong == {f"{i:02} {name}" for i, (name, _) in enumerate(files.values())}
        assert client.get("/api/v1/projects/hostile/files").json()["sources"] == []
    assert not [path for path in (victim.home / "hostile" / "material").rglob("*") if path.is_file()]
    assert not Path("/tmp/endonym-was-here").exists()


def test_a_folder_with_pickled_weights_is_no_base(victim: Studio, tmp_path: Path):
    (tmp_path / "config.json").write_text('{"model_type": "llama", "auto_map": {"AutoModel": "evil.Evil"}}')
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()))
    with victim.program() as client:
        made = client.post("/api/v1/projects", json={"name": "evil base", "language": "tzh", "base": str(tmp_path)})
    assert made.status_code in (400, 409, 422)
    assert not (victim.home / "evil-base").exists()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b"not at all"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\nabc'),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: attachment\r\n\r\nabc\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\n" + b"A: b\r\n" * 5000 + b"\r\nabc\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\nA: " + b"b" * 100_000 + b"\r\n\r\nabc\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="licence"\r\n\r\n' + b"a" * 10_000 + b"\r\n--x--\r\n"),
        ("multipart/form-data", b"--x--"),
        ("multipart/form-data; boundary=" + "x" * 5000, b"x"),
        ("application/json", b"{}"),
        ("", b"x"),
    ],
)  # fmt: skip
def test_a_broken_body_leaves_nothing(victim: Studio, kind: str, body: bytes):
    with victim.program() as client:
        answer = client.post("/api/v1/projects/victim/files", content=body, headers={"Content-Type": kind})
        again = client.post("/v1/files", content=body, headers={"Content-Type": kind})
    assert 400 <= answer.status_code < 500
    assert 400 <= again.status_code < 500
    assert not list((victim.home / "victim" / "material").glob("*"))
    assert not [path for path in (victim.home / ".endonym" / "files").glob("*") if not (path / "about.json").exists()]


def test_too_many_files_leave_nothing(victim: Studio):
    with victim.program() as client:
        sent = [("files", (f"{i}.txt", b"x")) for i in range(1001)]
        assert client.post("/api/v1/projects/victim/files", files=sent).status_code == 413
    assert not list((victim.home / "victim" / "material").glob("*"))


# Odd requests


@pytest.mark.parametrize(
    ("path", "length", "status"),
    [("/api/v1/projects", 5 << 20, 413), ("/api/v1/projects/victim/files", MAX_UPLOAD_BYTES + 1, 413), ("/api/v1/projects", "x", 400),
     ("/api/v1/projects", -1, 400), ("/api/v1/projects", "1e9", 400), ("/api/v1/projects", "9" * 30, 400)],
)  # fmt: skip
def test_a_body_that_is_too_large_is_refused_before_it_comes(victim: Studio, path: str, length: Any, status: int):
    found, _ = raw(
        victim,
        f"POST {path} HTTP/1.1\nHost: {host(victim)}\nAuthorization: Bearer {victim.token}\nContent-Length: {length}\n\n",
    )
    assert found == status


def test_a_body_without_a_length_is_cut_off(victim: Studio):
    def endless() -> Iterator[bytes]:
        yield b'{"name": "'
        for _ in range(80):
            yield b"x" * 65536

    with victim.program() as client:
        try:
            answer = client.post("/api/v1/projects", content=endless(), headers={"Content-Type": "application/json"})
            assert answer.status_code == 413
        except httpx.WriteError:
            pass  # the connection was closed on it


@pytest.mark.parametrize(
    "lines",
    ["Content-Length: 5\nContent-Length: 50", "Content-Length: 5\nTransfer-Encoding: chunked", "Transfer-Encoding: xchunked",
     "Transfer-Encoding: chunked\nTransfer-Encoding: identity", "Content-Length: 5, 50"],
)  # fmt: skip
def test_two_ways_to_read_a_body_end_in_no_second_request(victim: Studio, lines: str):
    smuggled = f"GET /api/v1/projects HTTP/1.1\r\nHost: {host(victim)}\r\nAuthorization: Bearer {victim.token}\r\n\r\n"
    status, body = raw(
        victim,
        f"POST /nothing HTTP/1.1\nHost: {host(victim)}\n{lines}\nConnection: close\n\n",
        b"0\r\n\r\n" + smuggled.encode(),
    )
    assert status in (0, 400, 401, 404)
    assert b"victim" not in body


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"name": "\\ud800", "language": "tzh"}', b'{"name": "a\\u0000b", "language": "tzh"}',
     b'{"name": {}, "language": []}', b'{"name": "n", "language": "tzh", "evil": 1}', b'{"name": "", "language": "tzh"}',
     b'{"name": "///", "language": "tzh"}', b'{"name": "n", "language": "\\u202e"}', b'{"name": "n", "language": "tzh", "base": "/etc"}',
     b'{"name": "n", "language": "tzh", "base": "../../x"}', b'{"name": "n", "language": "tzh", "base": "https://evil.example/x"}',
     b'{"name": "n", "language": "tzh", "pivot": "tzh"}', b"[" * 100_000, b'{"name": ' + b"9" * 5000 + b"}", b'{"a":' * 5000 + b"1" + b"}" * 5000],
)  # fmt: skip
def test_a_wrong_body_is_an_error_that_says_so(victim: Studio, body: bytes):
    with victim.program() as client:
        answer = client.post("/api/v1/projects", content=body, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500, answer.text
    assert set(answer.json()["error"]) >= {"message", "hint", "type", "code"}
    assert not (victim.home / "n").exists()


@pytest.mark.parametrize(
    "path",
    ["jobs/0", "jobs/-1", "jobs/99999999999999999999", "jobs/1e3", "jobs/1.5", "jobs/%31%00", "jobs/٣", "jobs/1/events?after=-1", "jobs/1/events?limit=0",
     "jobs/1/events?limit=100000", "jobs/1/metrics?points=1", "jobs/1/metrics?points=999999999", "jobs/1/log?after=-5", "datasets/1/records?offset=-1",
     "datasets/1/records?limit=99999999999999999999", "compare?a=;drop", "compare?a=%27%20OR%201=1", "ratings/next?kind=evil", "ratings/next?rater=" + "x" * 100,
     "stream?after=-1", "stream?after=9e99", "datasets/1/records?query=" + "x" * 500, "jobs?offset=1e9", "review/%00/picture"],
)  # fmt: skip
def test_numbers_and_names_out_of_bounds_are_refused(victim: Studio, run_folder: Path, path: str):
    with victim.program() as client:
        answer = client.get(f"/api/v1/projects/victim/{path}")
    assert answer.status_code in (404, 409, 422), answer.text


@pytest.mark.parametrize("value", ["'; DROP TABLE jobs; --", "1 OR 1=1", "%", "\x00", "🔥", "x" * 150])
def test_a_filter_is_a_value_and_no_sql(victim: Studio, run_folder: Path, value: str):
    with victim.program() as client:
        for name in ("verb", "state"):
            assert client.get("/api/v1/projects/victim/jobs", params={name: value}).json()["total"] == 0
        assert client.get("/api/v1/projects/victim/jobs/1/events", params={"kind": value}).json()["events"] == []
        assert client.get("/api/v1/projects/victim/jobs").json()["total"] == 1


@pytest.mark.parametrize(
    "job",
    [{"verb": "serve"}, {"verb": "../x"}, {"verb": "__init__"}, {"verb": "os"}, {"verb": "train", "plugin": "../../evil"}, {"verb": "train", "plugin": "os"},
     {"verb": "ingest", "settings": {"most": -1}}, {"verb": "ingest", "settings": {"__class__": 1}}, {"verb": "ingest", "inputs": {"x": -5}},
     {"verb": "ingest", "settings": {"most": 1e999}}, {"verb": "ingest", "inputs": {"x": 1}}, {"verb": "ingest", "settings": {"most": "a\x00"}}, {"verb": ""},
     {"verb": "clean", "settings": {"plugins": ["../../evil"]}}, {"verb": "clean", "settings": {"plugins": 5}}, {"verb": "clean", "settings": {"plugins": [[1]]}},
     {"verb": "train", "settings": [1]}, {"verb": None}],
)  # fmt: skip
def test_a_wrong_job_is_not_started(victim: Studio, run_folder: Path, job: dict[str, Any]):
    with victim.program() as client:
        answer = client.post(
            "/api/v1/projects/victim/jobs", content=json.dumps(job), headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in (400, 404, 409, 422), answer.text
        assert client.get("/api/v1/projects/victim/jobs").json()["total"] == 1


# What models and people write


MARKUP = "<script>alert(1)</script><img src=https://evil.example/x onerror=alert(1)>"


def test_markup_in_texts_stays_text(victim: Studio):
    with victim.browser() as browser:
        made = browser.post("/api/v1/projects", json={"name": MARKUP, "language": "tzh"}).json()
        for path in ("/", f"/p/{quote(made['id'])}"):
            page = browser.get(path).text
            assert "<script>alert" not in page
            assert "<img src=https" not in page
        missing = browser.get(f"/p/{quote(MARKUP, safe='')}")
        assert missing.status_code == 404
        assert "<script>alert" not in missing.text
        answer = browser.get(f"/api/v1/projects/{quote(MARKUP, safe='')}")
        assert answer.headers["content-type"] == "application/json"


def test_a_report_with_markup_does_nothing_in_the_studio(victim: Studio, run_folder: Path):
    (run_folder / "runs" / "0001-ingest" / "output" / "evil.html").write_text(MARKUP)
    (run_folder / "runs" / "0001-ingest" / "output" / "evil.svg").write_text(
        f"<svg xmlns='http://www.w3.org/2000/svg'>{MARKUP}</svg>"
    )
    with victim.browser() as browser:
        for name in ("evil.html", "evil.svg"):
            shown = browser.get(f"/api/v1/projects/victim/jobs/1/files/output/{name}", params={"inline": True})
            assert shown.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
            taken = browser.get(f"/api/v1/projects/victim/jobs/1/files/output/{name}")
            assert taken.headers["content-type"] == "application/octet-stream"
            assert taken.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "template",
    ["{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
     "{% for x in messages.__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}", "{{ messages.append(1) }}", "{{ lipsum.__globals__ }}",
     "{% include '/etc/passwd' %}", "{{ range(999999999) | list }}"],
)  # fmt: skip
def test_a_chat_template_runs_in_the_sandbox(tiny_model: Path, template: str):
    from jinja2.exceptions import TemplateError
    from transformers import AutoTokenizer

    from endonym.models.render import Renderer
    from endonym.types import Message

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = template
    try:
        said = Renderer(tokenizer).text([Message("user", "x")])
    except (TemplateError, OverflowError, AttributeError, TypeError):
        return
    assert "class" not in said
    assert "uid=" not in said
    assert "root:" not in said


BOMBS = {
    "loop": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "output": "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
    "macro": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "deep": "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(60) }}",
    "recursive": "{% for x in [[1]] recursive %}{{ loop([x]) }}{% endfor %}",
    "product": "{{ 'x' * 10000000000 }}",
    "list": "{% set l = [1] * 10000000000 %}",
    "power": "{{ 10 ** 10000000000 }}",
    "squares": "{% set n = namespace(s=99) %}{% for i in range(60) %}{% set n.s = n.s * n.s %}{% endfor %}",
    "doubled": "{% set n = namespace(s='xxxx') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
    "sum": "{% set n = namespace(s='xxxx') %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}",
    "replace": "{% set s = 'a' * 1000000 %}{{ s.replace('a', s) }}",
    "replaced": "{% set s = 'a' * 1000000 %}{{ s | replace('a', s) }}",
    "join": "{% set s = 'a' * 1000000 %}{{ s.join('x' * 100000) }}",
    "joined": "{% set s = 'a' * 1000000 %}{{ ([s] * 100000) | join }}",
    "later": "{% set s = 'a' * 1000000 %}{{ range(99999) | map('replace', '1', s) | join }}",
    "width": "{{ 'x'.ljust(10000000000) }}",
    "format": "{{ '{:10000000000}'.format(1) }}",
    "nested": "{{ '{:{}}'.format(1, 1000000000) }}",
    "percent": "{{ '%10000000000d' % 1 }}",
    "star": "{{ '%*d' % (1000000000, 1) }}",
    "shown": "{% set s = 'a' * 1000000 %}{{ [s] * 100000 }}",
    "tree": "{% set n = namespace(l=[1]) %}{% for i in range(60) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l | tojson }}",
    "equal": "{% set n = namespace(a=[1], b=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% set n.b = [n.b, n.b] %}"
    "{% endfor %}{{ n.a == n.b }}",
    "indent": "{{ ('\\n' * 1000000) | indent(10000) }}",
    "block": "{% set s = 'a' * 1000000 %}{% set x %}{% for i in range(99999) %}{{ s }}{% endfor %}{% endset %}",
    "static": "{% for i in range(99999) %}" + "y" * 150_000 + "{% endfor %}",
    "translate": "{{ ('a' * 100000).translate({97: 'b' * 100000}) }}",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_chat_template_cannot_waste_time_or_memory(monkeypatch, name: str):
    """Each would take hours or all the memory there is. Where a template waits for a long conversation to do so, it is stopped then."""
    from endonym.errors import ConfigError
    from endonym.models import template

    monkeypatch.setattr(template, "MOST_SECONDS", 0.2)
    made = template.Template("{% if messages | length > 2 %}" + BOMBS[name] + "{% endif %}")
    one = [{"role": "user", "content": "x"}]
    assert made.render(one, True, {}) == ""
    began = time.process_time()
    with pytest.raises(ConfigError, match="chat template"):
        made.render(one * 3, True, {})
    assert time.process_time() - began < 5
    assert made.render(one, True, {}) == ""


def test_a_chat_template_that_is_nested_without_end_is_refused():
    from endonym.errors import ConfigError
    from endonym.models.template import Template

    with pytest.raises(ConfigError, match="nested"):
        Template("{{ " + "(" * 50_000 + "1" + ")" * 50_000 + " }}")


def test_a_chat_template_within_limits_is_rendered_as_transformers_does(tiny_model: Path):
    from transformers import AutoTokenizer

    from endonym.models.template import Template

    source = """{%- set ns = namespace(n=0, most=123456) -%}
    {% macro turn(m) %}{{ '<' ~ m.role ~ '>' + m['content'] | trim + eos_token }}{% endmacro %}
    {%- for message in messages %}{% generation %}{{ loop.index }}/{{ loop.length }}{{ turn(message) }}{% endgeneration %}
    {%- if message.role not in ['user', 'x'] and loop.last %}L{% continue %}{% endif %}{% set ns.n = ns.n + 1 %}{% endfor %}
    {{ ns.n * 2 ** 2 }} {{ messages | map(attribute='role') | join(', ') }} {{ '%s-%d' % ('a', 123456) }} {{ "{}".format(ns.most) }}
    {{ messages | tojson(indent=2) }}{{ nothing }}{{ missing | default(99999999) }} {{ tools is none }} {{ tools }} {{ documents }} {{ bos_token }}
    {{ 'a.b'.replace('.', '-') | upper }} {{ {'a': [1, 2]}.items() | list }} {{ messages[1:] == messages[:1] }}
    {% if add_generation_prompt %}{{ messages[0].content.split('c')[-1] }}{% endif %}"""
    tokenizer, made = AutoTokenizer.from_pretrained(tiny_model), Template(source)
    one, two = {"role": "user", "content": " a c\n b "}, {"role": "assistant", "content": "ሰላም {{ 7 * 7 }}"}
    for messages in ([one], [one, two], [one, two] * 20):
        for prompt in (True, False):
            theirs = tokenizer.apply_chat_template(
                messages, chat_template=source, tokenize=False, add_generation_prompt=prompt
            )
            assert made.render(messages, prompt, tokenizer.special_tokens_map) == theirs


def test_a_chat_template_of_any_size_is_not_run(tiny_model: Path):
    from transformers import AutoTokenizer

    from endonym.errors import ConfigError
    from endonym.models.render import MOST_TEMPLATE, Renderer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = "{{ 1 }}" * MOST_TEMPLATE
    with pytest.raises(ConfigError, match="characters"):
        Renderer(tokenizer)


def test_the_process_aside_does_what_it_knows_and_nothing_else():
    from endonym.web.aside.client import Aside, AsideError

    aside = Aside("test")
    try:
        for what in ("os.system", "material.remove", "answer._engine", "__main__.main", "../x.y", ""):
            with pytest.raises(AsideError):
                aside.call(what, {}, 60)
    finally:
        aside.close()


def test_who_waits_for_a_process_that_dies_is_told(tmp_path: Path):
    import queue

    from endonym.web.aside.client import Aside

    aside, replies = Aside("test"), queue.Queue()
    aside.ask("estimate.needed", {"project": str(tmp_path), "verb": "x", "plugin": "", "settings": {}}, replies.put)
    assert aside._process is not None
    aside._process.kill()
    assert replies.get(timeout=30)["data"]["message"].endswith("ended")
    aside.ask("estimate.needed", {"project": str(tmp_path), "verb": "x", "plugin": "", "settings": {}}, replies.put)
    assert replies.get(timeout=60)["event"] == "began"
    assert "is not an Endonym project" in replies.get(timeout=60)["data"]["message"]
    aside.close()
