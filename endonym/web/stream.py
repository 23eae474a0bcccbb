"""The events of a project as they come, as a stream that goes on where it was cut off (server-sent events)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from endonym.store.events import Event
from endonym.store.files import one_line
from endonym.web.answers import STREAMED, finite
from endonym.web.asked import ProjectId

router = APIRouter(prefix="/api/v1/projects/{project}", tags=["jobs"])
POLL_SECONDS = 0.25
PING_SECONDS = 15.0
AT_ONCE = 500
RETRY_MILLISECONDS = 1000


@router.get("/stream", response_class=StreamingResponse)
async def stream(
    project: ProjectId,
    request: Request,
    after: Annotated[int | None, Query(ge=0, le=1 << 62)] = None,
    last_event_id: Annotated[str | None, Header(max_length=40)] = None,
) -> StreamingResponse:
    """Events of all jobs: `id` is the number of the event, `event` its kind, `data` has id, job, time, kind and data.

    `Last-Event-ID`, which browsers send by themselves, or `after` says where to begin; without them it begins now.
    """
    home = request.app.state.home
    home.folder(project)
    if last_event_id and last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 19:
        after = int(last_event_id)
    return StreamingResponse(_events(home, project, after, request), media_type="text/event-stream", headers=STREAMED)


async def _events(home: Any, name: str, after: int | None, request: Request) -> AsyncIterator[str]:
    with home.opened(name) as project:
        db = project.db
        if after is None:
            (after,) = db.execute("SELECT COALESCE(MAX(id), 0) FROM events").fetchone()
        yield f"retry: {RETRY_MILLISECONDS}\nid: {after}\nevent: hello\ndata: {{}}\n\n"
        said = time.monotonic()
        while not await request.is_disconnected():
            rows = db.execute("SELECT * FROM events WHERE id > ? ORDER BY id LIMIT ?", (after, AT_ONCE)).fetchall()
            if rows:
                after, said = rows[-1]["id"], time.monotonic()
                yield "".join(_event(Event.from_row(row)) for row in rows)
            elif time.monotonic() - said > PING_SECONDS:
                said = time.monotonic()
                yield ": still here\n\n"
            if len(rows) < AT_ONCE:
                await asyncio.sleep(POLL_SECONDS)


def _event(event: Event) -> str:
    data = one_line(finite(asdict(event)))
    return f"id: {event.id}\nevent: {event.kind}\ndata: {data}\n\n"
