"""Who may use the studio: the token as bearer, or a signed cookie that one gets for a code that is good once."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from functools import lru_cache, partial
from http.cookies import CookieError, SimpleCookie

COOKIE = "endonym_session"
CODE_SECONDS = 600.0
"""How long a printed address may be opened."""
SESSION_SECONDS = 30 * 86400


def proof(token: str, nonce: str, address: tuple[str, int]) -> str:
    """What only a program that knows the token can answer to a nonce, at this address: one that passes the question on cannot.

    The key costs 200,000 rounds of PBKDF2, so that a short token is not guessed from proofs.
    """
    return hmac.new(_proof_key(token), f"{nonce} {address[0]} {address[1]}".encode(), hashlib.sha256).hexdigest()


@lru_cache(maxsize=8)
def _proof_key(token: str) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", token.encode(), b"endonym proof", 200_000)


class Sessions:
    """Codes and cookies. A cookie is signed with a key made of the token, so that it outlives the server and dies with the token."""

    def __init__(self, token: str):
        self._key = hmac.digest(token.encode(), b"endonym session", "sha256")
        self._codes: dict[str, tuple[float, str]] = {}
        """When each code (its digest) ends, and the page it is for."""
        self._lock = threading.Lock()
        self.proof = partial(proof, token)
        """To a nonce, at the address that was asked."""

    def new_code(self, where: str = "/") -> str:
        """A code for `/enter?code=` that leads to the page `where`, good once and for ten minutes (256 random bits)."""
        code = secrets.token_urlsafe(32)
        with self._lock:
            now = time.monotonic()
            self._codes = {known: one for known, one in self._codes.items() if one[0] > now}
            self._codes[_digest(code)] = now + CODE_SECONDS, where
        return code

    def enter(self, code: str) -> tuple[str, str] | None:
        """A new session's cookie for a code, which is used up, and the page to show; None for one that is wrong, used or too old."""
        with self._lock:
            until, where = self._codes.pop(_digest(code), (0.0, ""))
        if until < time.monotonic():
            return None
        return self._signed(f"{int(time.time()) + SESSION_SECONDS}.{secrets.token_hex(16)}"), where

    def known(self, cookies: list[bytes]) -> bool:
        """Whether the `Cookie` headers of a request hold one session cookie, and it is signed here and still good."""
        values = [value for header in cookies for value in _values(header)]
        if len(values) != 1:
            return False
        said, _, _ = values[0].rpartition(".")
        until = said.partition(".")[0]
        fresh = until.isascii() and until.isdigit() and len(until) < 12 and int(until) > time.time()
        return fresh and hmac.compare_digest(values[0].encode(), self._signed(said).encode())

    def _signed(self, said: str) -> str:
        return f"{said}.{hmac.new(self._key, said.encode(), hashlib.sha256).hexdigest()}"


def _digest(code: str) -> str:
    # Looked up by digest, so that the time of the look-up tells nothing about a code.
    return hashlib.sha256(code.encode("utf-8", "replace")).hexdigest()


def _values(header: bytes) -> list[str]:
    found = []
    for part in header.decode("latin-1").split(";"):
        try:
            morsel = SimpleCookie(part.strip()).get(COOKIE)
        except CookieError:
            continue
        found += [morsel.value] if morsel is not None else []
    return found
