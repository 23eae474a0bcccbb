"""Let only the owner's programs in: token, Host and Origin are checked before any route is looked up.

The Host check stops DNS rebinding (a web page whose name resolves to this computer), the Origin check other web pages,
the token everyone else on this computer. A route that is forgotten is closed, because the guard stands before all of them.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import os
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
    """ASGI middleware that answers 421, 403, 401 or 413 itself, and lets everything else through."""

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
            return
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)
        if refusal:
            await _refuse(send, *refusal)
        else:
            await self.app(scope, _limited(receive), send)

    def _refusal(self, scope: Scope) -> tuple[int, str, str] | None:
        """Status, code and message of the answer to a request that may not pass."""
        found: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            found.setdefault(name.lower(), []).append(value)
        hosts = found.get(b"host", [])
        if len(hosts) != 1 or not self._host_allowed(hosts[0].decode("latin-1")):
            return 421, "wrong_host", "This server does not answer to that Host."
        for origin in found.get(b"origin", []):
            if not self._origin_allowed(origin.decode("latin-1")):
                return 403, "wrong_origin", "Web pages from that origin may not use this server."
        given = found.get(b"authorization", [b""])
        scheme, _, key = given[0].partition(b" ")
        if len(given) != 1 or scheme.lower() != b"bearer" or not hmac.compare_digest(key.strip(), self._token):
            return (
                401,
                "invalid_api_key",
                "Give the server's token as API key; it lies in .endonym/token of the project.",
            )
        length = found.get(b"content-length", [b"0"])[0]
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            return 413, "too_large", f"A request may have {MAX_BODY_BYTES} bytes."
        return None

    def _host_allowed(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
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


def _limited(receive: Receive) -> Receive:
    taken = 0

    async def limited() -> MutableMapping[str, Any]:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        # A body without Content-Length that grows too large is cut off like a broken connection.
        return message if taken <= MAX_BODY_BYTES else {"type": "http.disconnect"}

    return limited


async def _refuse(send: Send, status: int, code: str, message: str) -> None:
    kind = "authentication_error" if status == 401 else "invalid_request_error"
    body = json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
