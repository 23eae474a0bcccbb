"""Chat and translate: the base and trained models side by side, as they answer."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from fastapi.responses import StreamingResponse
from pydantic import Field

from endonym.store.files import one_line
from endonym.web.answers import STREAMED, finite
from endonym.web.aside.client import Aside, Reply
from endonym.web.asked import SYSTEM, Body, ProjectId, Text
from endonym.web.conversations import PATTERN, Conversation

router = APIRouter(prefix="/api/v1/projects/{project}", tags=["chat"])
SILENT_SECONDS = 300.0
"""Without a word for so long, the process that holds the models is ended: loading takes less."""
LOOK_SECONDS = 0.5
System = Annotated[str, Field(pattern=f"^({SYSTEM})$")]


class Turn(Body):
    """One message."""

    role: Literal["system", "user", "assistant"]
    content: Text = Field(max_length=50_000)


class Asked(Body):
    """What is asked, of whom, and how they answer."""

    systems: list[System] = Field(min_length=1, max_length=4, description="`base`, or numbers of training jobs.")
    messages: list[Turn] = Field(min_length=1, max_length=100)
    task: Text = Field("", max_length=100, description="A task of the project, put to the last message: `translate`.")
    direction: Text = Field("", max_length=20, description="For a task between two languages: `spa>tzh`.")
    retrieval: bool = Field(True, description="Whether a task's prompt has hints from the project's own material.")
    max_tokens: int = Field(256, ge=1, le=8192)
    temperature: float = Field(0.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    seed: int | None = Field(None, ge=0, le=(1 << 31) - 1)
    conversation: str | None = Field(
        None, pattern=PATTERN, description="Where the last message and the answers are kept."
    )

    def params(self) -> dict[str, Any]:
        """Settings of generation; without a seed, sampling is random."""
        seed = secrets.randbelow(1 << 31) if self.seed is None else self.seed
        return {"max_tokens": self.max_tokens, "temperature": self.temperature, "top_p": self.top_p, "seed": seed}


@router.post("/chat", response_class=StreamingResponse)
async def chat(project: ProjectId, asked: Asked, request: Request) -> StreamingResponse:
    """Answers as server-sent events: `start` (the prompt as asked), `token`, `done` (the whole answer) or `error`, each with `system`."""
    folder = request.app.state.home.folder(project)
    kept = Conversation.of(folder, asked.conversation) if asked.conversation else None
    keep = _kept(kept, asked) if kept else None
    given = {
        "project": str(folder), "systems": list(dict.fromkeys(asked.systems)),
        "messages": [turn.model_dump() for turn in asked.messages], "task": asked.task, "direction": asked.direction,
        "retrieval": asked.retrieval, "params": asked.params(), "stops": [],
        "kept": str(kept.path.with_suffix("")) if kept else "",
    }  # fmt: skip
    return StreamingResponse(
        _told(request.app.state.models, given, request, keep), media_type="text/event-stream", headers=STREAMED
    )


@router.post("/conversations", status_code=201)
def begin(project: ProjectId, request: Request) -> dict[str, Any]:
    """Begin a conversation that is kept, by giving its id to `chat`."""
    return {"id": Conversation.begin(request.app.state.home.folder(project)).id}


@router.get("/conversations/{conversation}")
def conversation(
    project: ProjectId, conversation: Annotated[str, InPath(pattern=PATTERN)], request: Request
) -> dict[str, Any]:
    """What was asked in a conversation and what was answered; an answer that was stopped as far as it came."""
    found = Conversation.of(request.app.state.home.folder(project), conversation)
    return {"id": found.id, "turns": found.turns()}


Keep = Callable[[str, Mapping[str, Any]], None]
"""Called with a system and what it answered."""


def _kept(found: Conversation, asked: Asked) -> Keep:
    """Write the question into a conversation now, and each answer when it is called with it."""
    turn = found.ask({
        "text": asked.messages[-1].content, "task": asked.task, "direction": asked.direction, "retrieval": asked.retrieval,
        "systems": list(dict.fromkeys(asked.systems)),
    })  # fmt: skip

    def keep(system: str, said: Mapping[str, Any]) -> None:
        with suppress(FileNotFoundError):  # deleted meanwhile
            found.answer(turn, system, finite(said))

    return keep


async def _told(models: Aside, given: dict[str, Any], request: Request, keep: Keep | None) -> AsyncGenerator[str, None]:
    names = {"start": "start", "token": "token", "end": "done", "problem": "error", "error": "error"}
    writing: dict[str, str] = {}
    try:
        async for reply in replies(models, given, request):
            event, data = reply["event"], reply["data"]
            if event not in names:
                continue
            system = data.get("system", given["systems"][0])
            if event == "token":
                writing[system] = writing.get(system, "") + data["text"]
            elif event != "start" and keep:
                writing.pop(system, None)
                keep(system, {name: data[name] for name in data if name != "system"})
            yield f"event: {names[event]}\ndata: {one_line(finite(data))}\n\n"
        yield "event: end\ndata: {}\n\n"
    finally:
        if keep:
            for system, text in writing.items():
                keep(system, {"text": text, "finish": "stopped"})


async def replies(models: Aside, given: dict[str, Any], request: Request) -> AsyncGenerator[Reply, None]:
    """What the models say, to the last word; taken back when the client goes away."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Reply] = asyncio.Queue()

    def put(reply: Reply) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(queue.put_nowait, reply)

    cancel = await asyncio.to_thread(models.ask, "answer.chat", given, put)
    try:
        while True:
            try:
                reply = await asyncio.wait_for(queue.get(), LOOK_SECONDS)
            except TimeoutError:
                if await request.is_disconnected():
                    return
                # Who waits in line hears nothing either: it is the process that must not be silent.
                if time.monotonic() - models.used > SILENT_SECONDS:
                    await asyncio.to_thread(models.close)
                continue
            yield reply
            if reply["event"] in ("done", "error"):
                return
    finally:
        cancel()
