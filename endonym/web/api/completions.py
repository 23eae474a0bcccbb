"""OpenAI's models and chat completions: every model trained here, and the bases that are on this computer."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from endonym.errors import EndonymError, UsageError
from endonym.models.weights import cached, catalog
from endonym.serve.answer import Answer
from endonym.serve.openai import CHAT, reply
from endonym.serve.requests import ChatRequest
from endonym.store import jobs as rows
from endonym.web import tuning
from endonym.web.api.chat import replies
from endonym.web.aside.client import AsideError
from endonym.web.asked import clean
from endonym.web.errors import NotFoundError
from endonym.web.home import Home

router = APIRouter(prefix="/v1", tags=["openai"])
MOST_TOKENS = 512
"""Longest answer when a request does not say."""


@router.get("/models")
def models(request: Request) -> dict[str, Any]:
    """Every model that can be asked."""
    return {"object": "list", "data": _known(request.app.state.home)}


@router.get("/models/{name:path}")
def model(name: str, request: Request) -> dict[str, Any]:
    """One model."""
    for one in _known(request.app.state.home):
        if one["id"] == name:
            return one
    raise NotFoundError(f"there is no model '{name[:80]}'", "See: GET /v1/models")


@router.post("/chat/completions")
async def chat(asked: ChatRequest, request: Request) -> Response:
    """Answer a chat, whole or streamed."""
    asked.refuse()
    project, system = _chosen(request.app.state.home, asked.model)
    params = asked.params(MOST_TOKENS, 0.0)
    messages = [turn.message() for turn in asked.messages]
    try:
        clean([message.content for message in messages])
    except ValueError as error:
        raise UsageError(str(error), "Send plain text.") from error
    given = {
        "project": project, "systems": [system], "messages": [{"role": m.role, "content": m.content} for m in messages],
        "task": asked.endonym.task if asked.endonym else "", "direction": asked.endonym.direction if asked.endonym else "",
        "retrieval": True, "params": {**vars(params)}, "stops": asked.stops,
    }  # fmt: skip
    return await reply(_pieces(given, request), asked, asked.model, CHAT)


async def _pieces(given: dict[str, Any], request: Request) -> AsyncGenerator[str | Answer, None]:
    async for one in replies(request.app.state.models, given, request):
        data = one["data"]
        if one["event"] == "token":
            yield data["text"]
        elif one["event"] == "end":
            yield Answer((), data["prompt_tokens"], data["completion_tokens"], data["finish"])
        elif one["event"] in ("problem", "error"):
            raise AsideError(data)


def _chosen(home: Home, name: str) -> tuple[str, str]:
    """Folder of the project (empty for a base model) and the system in it. Raises NotFoundError."""
    if name in catalog() and cached(name):
        return "", name
    project, job = tuning.parse_name(name)
    if project in home.names():
        with home.opened(project) as found:
            if int(job) in [row["job"] for row in rows.artifacts(found.db, "model")]:
                return str(found.path), job
    raise NotFoundError(f"there is no model '{name[:80]}'", "See: GET /v1/models")


def _known(home: Home) -> list[dict[str, Any]]:
    found = [_object(name, 0, "endonym") for name in catalog() if cached(name)]
    for name in home.names():
        try:
            with home.opened(name) as project:
                base = Path(project.base).name
                made = rows.artifacts(project.db, "model")
        except (EndonymError, sqlite3.Error):
            continue
        found += [
            _object(tuning.model_name(base, name, row["job"]), int(row["created"]), name) for row in reversed(made)
        ]
    return found


def _object(name: str, created: int, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": owner}
