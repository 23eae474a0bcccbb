"""A page on this computer only that shows the picture or plays the sound of a doubtful passage beside its text."""

from __future__ import annotations

import hmac
import json
import secrets
import webbrowser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from endonym.cli.console import Console
from endonym.data.languages import language
from endonym.errors import EndonymError
from endonym.ingest import piece
from endonym.ingest.review import as_json, where

if TYPE_CHECKING:
    from endonym.project import Project
    from endonym.types import Doc

MAX_BODY = 1 << 20
VERDICTS = ("accept", "correct", "reject", "reopen")
HEADERS = {
    # Nothing but what this server gives, so that no picture and no text can reach out.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
FILES = {
    "/": ("review.html", "text/html"),
    "/review.js": ("review.js", "text/javascript"),
    "/review.css": ("review.css", "text/css"),
}


def serve(project: Project, queue: list[tuple[Doc, str]], who: str, port: int, console: Console) -> None:
    """Answer until the person presses Ctrl-C."""
    server = make_server(project, queue, who, port)
    address = f"http://127.0.0.1:{server.server_address[1]}/?token={server.token}"
    console.result({"url": address, "waiting": len(queue)}, address)
    console.say("Decisions are kept at once. Ctrl-C ends; then: endonym ingest")
    webbrowser.open(address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        console.say()
    finally:
        server.server_close()


class Server(ThreadingHTTPServer):
    """The queue, and the token that every request must show."""

    daemon_threads = True
    token: str
    project: Project
    queue: dict[str, tuple[Doc, str]]
    who: str


def make_server(project: Project, queue: list[tuple[Doc, str]], who: str, port: int = 0) -> Server:
    """A server bound to loopback; port 0 takes a free one."""
    server = Server(("127.0.0.1", port), Handler)
    server.token, server.project, server.who = secrets.token_urlsafe(24), project, who
    server.queue = {record.id: (record, why) for record, why in queue}
    return server


class Handler(BaseHTTPRequestHandler):
    """GET the page, the queue and pieces of pictures and sound; POST decisions."""

    server: Server

    def do_GET(self) -> None:
        """Answer what the page asks for; its own three files need no token, because they hold nothing of the project."""
        parts = urlsplit(self.path)
        if not self._may_pass(parts.path in FILES, parts.query):
            return
        if parts.path in FILES:
            name, kind = FILES[parts.path]
            self._send(200, Path(__file__).with_name(name).read_bytes(), f"{kind}; charset=utf-8")
        elif parts.path == "/queue":
            self._send_json(200, [self._shown(record, why) for record, why in self.server.queue.values()])
        elif parts.path.startswith("/piece/"):
            self._piece(parts.path.removeprefix("/piece/"))
        else:
            self._send_json(404, {"error": "there is nothing here"})

    def do_POST(self) -> None:
        """Keep a decision."""
        from endonym.ingest.review import decide

        parts = urlsplit(self.path)
        if not self._may_pass(False, parts.query):
            return
        if parts.path != "/decide":
            self._send_json(404, {"error": "there is nothing here"})
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_BODY:
            self._send_json(413, {"error": "too large"})
            return
        try:
            data = json.loads(self.rfile.read(int(length)))
            record = self.server.queue[data["id"]][0]
            verdict, text = str(data["verdict"]), str(data.get("text", "")).strip()
            if verdict not in VERDICTS or (verdict == "correct" and not text):
                raise ValueError("the verdict or its text")
        except (ValueError, KeyError, TypeError) as error:
            self._send_json(400, {"error": f"this is no decision: {error}"})
            return
        decide(self.server.project.path, record, verdict, text, self.server.who)
        self._send_json(200, {"kept": True})

    def _may_pass(self, open_to_all: bool, query: str) -> bool:
        """Token, Host (against DNS rebinding) and Origin (against other web pages)."""
        port = self.server.server_address[1]
        own = {f"127.0.0.1:{port}", f"localhost:{port}"}
        origin = self.headers.get("Origin")
        token = self.headers.get("X-Token") or parse_qs(query).get("token", [""])[0]
        if self.headers.get("Host") not in own or (origin and urlsplit(origin).netloc not in own):
            self._send_json(403, {"error": "this server answers its own page only"})
            return False
        if not open_to_all and not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._send_json(
                401, {"error": "the token is missing or wrong: open the address that `endonym review --open` prints"}
            )
            return False
        return True

    def _shown(self, record: Doc, why: str) -> dict[str, Any]:
        right_to_left = language(record.language).right_to_left
        return {**as_json(record, why), "where": where(record), "direction": "rtl" if right_to_left else "auto",
                "sound": "time" in record.meta}  # fmt: skip

    def _piece(self, ident: str) -> None:
        if ident not in self.server.queue:
            self._send_json(404, {"error": "nothing of this id waits"})
            return
        record = self.server.queue[ident][0]
        try:
            self._send(200, *piece.of(self.server.project.path, record))
        except (EndonymError, OSError) as error:
            self._send_json(500, {"error": str(error)})

    def _send_json(self, status: int, data: Any) -> None:
        self._send(status, json.dumps(data, ensure_ascii=False).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: addresses hold the token."""
