"""Whether an answer of the studio is what its openapi.json promises."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs

from endonym.web.app import create_app

DONE = (200, 201, 202)


@cache
def document() -> dict[str, Any]:
    """The studio's openapi.json."""
    return create_app(Path(), "t" * 43).app.openapi()


@cache
def _operations() -> list[tuple[re.Pattern[str], str, dict[str, Any]]]:
    """Address, method and description of each; the ones with fewer places first, because they are told apart by words."""
    found = [
        (re.compile(re.sub(r"{\w+}", "[^/]+", path)), method.upper(), about)
        for path, methods in sorted(document()["paths"].items(), key=lambda one: one[0].count("{"))
        for method, about in methods.items()
    ]
    return found


def shape_of(method: str, path: str, status: int) -> dict[str, Any] | None:
    """The schema of a JSON answer; None where the address answers otherwise, or is not described."""
    for pattern, known, about in _operations():
        if known == method and pattern.fullmatch(path):
            content = about["responses"].get(str(status), {}).get("content", {})
            return content.get("application/json", {}).get("schema")
    return None


@cache
def _validator(method: str, path: str, status: int) -> Any:
    schema = shape_of(method, path, status)
    return jsonschema_rs.validator_for({**schema, "components": document()["components"]}) if schema else None


def kept(response: httpx.Response) -> None:
    """Raises AssertionError for a JSON answer that is not as it was promised. For clients, as a hook."""
    asked = response.request
    if response.status_code not in DONE or "application/json" not in response.headers.get("content-type", ""):
        return
    path = asked.url.raw_path.decode().partition("?")[0]
    validator = _validator(asked.method, path, response.status_code)
    if validator is not None:
        response.read()
        wrong = [
            f"{'.'.join(map(str, one.instance_path))}: {one.message}" for one in validator.iter_errors(response.json())
        ]
        assert not wrong, f"{asked.method} {path}: {'; '.join(wrong[:5])}"
