"""Let only the owner's programs in: token, Host and Origin are checked before any route is looked up.

The Host check stops DNS rebinding (a web page whose name resolves to this computer), the Origin check other web pages,
the token everyone else on this computer. A route that is forgotten is closed, because the guard stands before all of them.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import os
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MAX_BODY_BYTES = 4 << 20

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Found = dict[bytes, list[bytes]]
"""Headers by lower-case name, every time they were given."""
Refusal = tuple[int, str, str]
"""Status, code and message of the answer to a request that may not pass."""


def project_token(project: Path) -> tuple[str, Path, bool]:
    """Return the project's token, its file (mode 0600), and whether it was made just now (256 random bits)."""
    path = project / ".endonym" / "token"
    path.parent.mkdir(exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        token = path.read_text(encoding="ascii").strip()
        if len(token) >= 32:
            path.chmod(0o600)
            return token, path, False
        path.unlink()
        return project_token(project)
    token = secrets.token_urlsafe(32)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(token + "\n")
    return token, path, True


def is_loopback(host: str) -> bool:
    """Whether a server bound to `host` is reachable from this computer only."""
    return host in LOOPBACK


class Guard:
    """ASGI middleware that answers 421, 403, 401 or 413 itself, closes web sockets, and lets everything else through."""

    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Put on every answer."""

    def __init__(
        self,
        app: Any,
        token: str,
        hosts: Iterable[str] = (),
        origins: Iterable[str] = (),
        open_to_network: bool = False,
    ):
        self.app = app
        self._token = token.encode()
        self._hosts = {*LOOPBACK, *hosts}
        self._origins = set(origins)
        self._open = open_to_network

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http":
            refusal = self._refusal(scope)
            if refusal:
                await self.refuse(scope, self._dressed(scope, send), *refusal)
            else:
                await self._pass(scope, receive, self._dressed(scope, send))

    async def refuse(self, scope: Scope, send: Send, status: int, code: str, message: str) -> None:
        """Answer a request that may not pass."""
        kind = "authentication_error" if status == 401 else "invalid_request_error"
        body = json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def limit(self, scope: Scope) -> int:
        """Most bytes the body of this request may have."""
        return MAX_BODY_BYTES

    def refused(self, scope: Scope, found: Found) -> Refusal | None:
        """Why a request from an allowed Host may not pass: its Origin, or its key."""
        for origin in found.get(b"origin", []):
            if not self._origin_allowed(origin.decode("latin-1")):
                return 403, "wrong_origin", "Web pages from that origin may not use this server."
        if self.has_key(found):
            return None
        return 401, "invalid_api_key", "Give the server's token as API key; it lies in .endonym/token of the project."

    def has_key(self, found: Found) -> bool:
        """Whether the request has the token, once, as `Authorization: Bearer`."""
        given = found.get(b"authorization", [b""])
        scheme, _, key = given[0].partition(b" ")
        return len(given) == 1 and scheme.lower() == b"bearer" and hmac.compare_digest(key.strip(), self._token)

    def _refusal(self, scope: Scope) -> Refusal | None:
        found: Found = {}
        for name, value in scope["headers"]:
            found.setdefault(name.lower(), []).append(value)
        hosts = found.get(b"host", [])
        if len(hosts) != 1 or not self._host_allowed(hosts[0].decode("latin-1")):
            return 421, "wrong_host", "This server does not answer to that Host."
        if refusal := self.refused(scope, found):
            return refusal
        lengths = found.get(b"content-length", [b"0"])
        if len(lengths) != 1 or not lengths[0].isdigit() or len(lengths[0]) > 18:
            return 400, "wrong_length", "The Content-Length is no single number."
        return _too_large(self.limit(scope)) if int(lengths[0]) > self.limit(scope) else None

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app with a body that is cut off when it grows too large; where no answer has begun by then, it is 413."""
        most, taken, begun, cut = self.limit(scope), 0, False, False

        async def limited() -> MutableMapping[str, Any]:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            return message if taken <= most else {"type": "http.disconnect"}

        async def answered(message: MutableMapping[str, Any]) -> None:
            nonlocal begun, cut
            if taken > most and not begun:
                begun = cut = True
                await self.refuse(scope, send, *_too_large(most))
            elif not cut:
                begun = True
                await send(message)

        await self.app(scope, limited, answered)

    def _dressed(self, scope: Scope, send: Send) -> Send:
        async def dressed(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and self.headers:
                given = list(message.get("headers", ()))
                own = {name for name, _ in given}
                message = {**message, "headers": given + [pair for pair in self.headers if pair[0] not in own]}
            await send(message)

        return dressed

    def _host_allowed(self, host: str) -> bool:
        found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[\w.\-]+)(:\d{1,5})?", host.lower(), re.ASCII)
        if found is None:
            return False
        name = found[1].strip("[]")
        return name in self._hosts or (self._open and _is_address(name))

    def _origin_allowed(self, origin: str) -> bool:
        if origin in self._origins:
            return True
        try:
            parts = urlsplit(origin)
            return parts.scheme in ("http", "https") and (parts.hostname or "") in self._hosts
        except ValueError:
            return False


def _is_address(name: str) -> bool:
    """Whether a Host is a bare IP address: a rebound name never is, so a server open to the network may answer to it."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _too_large(most: int) -> Refusal:
    return 413, "too_large", f"A request may have {most:,} bytes here."
