"""Describe the main answers of the API for openapi.json: tests check them, and no request is slower for it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

Counts = dict[str, int]


def answers(shape: Any, status: int = 200) -> dict[str, Any]:
    """Arguments of a route whose JSON has this shape. It is a promise that tests keep: nothing is validated while the studio runs."""
    return {"response_model": None, "responses": {status: {"model": shape}}, "status_code": status}


class Shape(BaseModel):
    """An object with these keys and no others."""

    model_config = ConfigDict(extra="forbid", defer_build=True, protected_namespaces=())


class Open(BaseModel):
    """An object with these keys and what else its maker gives."""

    model_config = ConfigDict(extra="allow", defer_build=True, protected_namespaces=())


class Said(Shape):
    """What is wrong, and what repairs it."""

    message: str
    hint: str
