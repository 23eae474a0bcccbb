"""The studio's guard: the one of `serve`, with a cookie beside the token, same-origin on every method, and limits by route."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from endonym.serve.guard import MAX_BODY_BYTES, Found, Guard, Refusal, Scope, Send
from endonym.web.session import Sessions

MAX_UPLOAD_BYTES = 8 << 30
ENTER, PROVE = "/enter", "/api/v1/prove"
"""What is open: a code that is good once, and the question whether this is the studio that knows a token."""
SAFE = ("GET", "HEAD")
UPLOADS = re.compile(r"/api/v1/projects/[^/]+/files|/v1/files")
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
CLOSED = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Endonym</title>
<h1>This door is closed</h1><p>Open the address that <code>endonym studio</code> printed; it is good once and for ten minutes.
Run <code>endonym studio</code> again to get another one.</p></html>"""


class StudioGuard(Guard):
    """Lets a request in that comes from the studio's own pages (or from no page), with the token or a session's cookie."""

    headers = (
        (b"content-security-policy", POLICY.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
        (b"cache-control", b"no-store"),
    )

    def __init__(self, app: Any, token: str, sessions: Sessions, **more: Any):
        super().__init__(app, token, **more)
        self._sessions = sessions

    def limit(self, scope: Scope) -> int:
        return MAX_UPLOAD_BYTES if UPLOADS.fullmatch(scope["path"]) else MAX_BODY_BYTES

    def refused(self, scope: Scope, found: Found) -> Refusal | None:
        if refusal := self._foreign(scope, found):
            return refusal
        if scope["path"] in (ENTER, PROVE) and scope["method"] == "GET":
            return None
        if b"authorization" in found:
            allowed = self.has_key(found)
        else:
            allowed = self._sessions.known(found.get(b"cookie", []))
            if allowed and scope["method"] not in SAFE and not _says_own_page(found):
                return 403, "wrong_origin", "A request that changes something must come from the studio's own pages."
        if allowed:
            return None
        return 401, "invalid_api_key", "Open the address that 'endonym studio' printed, or give the token as a bearer."

    async def refuse(self, scope: Scope, send: Send, status: int, code: str, message: str) -> None:
        accept = b"".join(value for name, value in scope["headers"] if name.lower() == b"accept")
        if status != 401 or b"text/html" not in accept or scope["method"] != "GET":
            await super().refuse(scope, send, status, code, message)
            return
        body = CLOSED.encode()
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _foreign(self, scope: Scope, found: Found) -> Refusal | None:
        """Whether another web page asks: one of another port is another page too."""
        own = found[b"host"][0].decode("latin-1").lower()
        for raw in found.get(b"origin", []):
            origin = raw.decode("latin-1")
            if origin not in self._origins and not _is_own(origin, own):
                return 403, "wrong_origin", "Web pages from that origin may not use this server."
        sites = found.get(b"sec-fetch-site", [])
        if all(site in (b"same-origin", b"none") for site in sites):
            return None
        # Following a link is no asking: the page that has the link does not see what comes.
        opened = found.get(b"sec-fetch-mode") == [b"navigate"] and found.get(b"sec-fetch-dest") == [b"document"]
        if opened and scope["method"] == "GET":
            return None
        return 403, "wrong_origin", "Web pages from elsewhere may not use this server."


def _is_own(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host and not parts.path and not parts.query


def _says_own_page(found: Found) -> bool:
    """Whether a browser vouches that the request comes from a page of this server; every Origin was looked at before."""
    return len(found.get(b"origin", [])) == 1 or found.get(b"sec-fetch-site") == [b"same-origin"]
