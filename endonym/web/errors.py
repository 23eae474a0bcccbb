"""Errors as the program that asked gets them: `{"error": {"message", "hint", "type", "code"}}`."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from endonym.errors import EndonymError, UsageError
from endonym.web.aside.client import AsideError

STATUS = {
    "NotFoundError": 404, "TooLargeError": 413, "UsageError": 400, "ConfigError": 422, "DataError": 422, "LeakError": 403,
    "MissingError": 409, "JobError": 409, "ParityError": 409,
}  # fmt: skip
LOG = logging.getLogger("endonym.web")


class NotFoundError(UsageError):
    """What the address names is not there."""


class TooLargeError(UsageError):
    """What was sent is more than is taken."""


def body(message: str, hint: str, kind: str, code: str) -> dict[str, dict[str, str | None]]:
    """The JSON of an error; `param` is there for OpenAI's clients, which read it."""
    return {"error": {"message": message, "hint": hint, "type": kind, "code": code, "param": None}}


def answer(status: int, message: str, hint: str, kind: str, code: str) -> Response:
    """An error as a response."""
    return JSONResponse(body(message, hint, kind, code), status)


def status_of(error: EndonymError) -> int:
    """The HTTP status of an error; one from the process aside has the name it had there."""
    names = [error.kind] if isinstance(error, AsideError) else [kind.__name__ for kind in type(error).__mro__]
    return next((STATUS[name] for name in names if name in STATUS), 500)


def handle(app: FastAPI) -> None:
    """Let `app` answer every error in this form."""

    @app.exception_handler(EndonymError)
    async def on_ours(request: Request, error: EndonymError) -> Response:
        kind = error.kind if isinstance(error, AsideError) else type(error).__name__
        return answer(status_of(error), error.message, error.hint, kind, _code(kind))

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        # What was sent is not said again: it may hold what cannot be written.
        said = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
        words = "; ".join(said[:8]).encode("utf-8", "replace").decode()
        return answer(422, words, "Correct the request; openapi.json says what it may hold.", "ConfigError", "invalid")

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(error.status_code, "invalid_request")
        response = answer(error.status_code, str(error.detail), "", "UsageError", code)
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(UnicodeError)
    async def on_unicode(request: Request, error: UnicodeError) -> Response:
        return answer(422, "there is text that is no Unicode in the request", "Send UTF-8.", "DataError", "invalid")

    @app.exception_handler(ClientDisconnect)
    async def on_gone(request: Request, error: ClientDisconnect) -> Response:
        return answer(400, "the request ended before its body did", "Send it again.", "UsageError", "incomplete")

    @app.exception_handler(Exception)
    async def on_any(request: Request, error: Exception) -> Response:
        LOG.error("%s %s", request.method, request.url.path, exc_info=error)
        message = f"something unforeseen went wrong: {type(error).__name__}"
        return answer(500, message, "This is a fault in Endonym; the server's terminal says more.", "Fault", "fault")


def _code(name: str) -> str:
    """`NotFoundError` -> `not_found`."""
    short = name.removesuffix("Error")
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(short))
