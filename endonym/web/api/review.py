"""Review: what the readers were not sure of, with the piece of the page or recording, and the decisions of a person."""

from __future__ import annotations

import base64
import json
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from fastapi.responses import Response
from pydantic import Field

from endonym.data.languages import language
from endonym.errors import UsageError
from endonym.ingest import review
from endonym.project import Project
from endonym.types import Doc, from_json, to_json
from endonym.web.asked import Body, Limit, Offset, Opened, Text
from endonym.web.errors import NotFoundError

router = APIRouter(prefix="/api/v1/projects/{project}/review", tags=["review"])
PIECE_SECONDS = 120.0
RecordId = Annotated[str, InPath(pattern=r"^[\w-]{1,64}$")]


class Decision(Body):
    """What a person decided about one passage."""

    verdict: Literal["accept", "correct", "reject", "reopen"]
    text: Text = Field("", max_length=100_000, description="The right text, for `correct`.")
    who: Text = Field("", max_length=100, description="Who decided; else the name one is logged in with.")


@router.get("")
def listing(found: Opened, offset: Offset = 0, limit: Limit = 50) -> dict[str, Any]:
    """What waits for a person, in the order it was read."""
    queue = _queue(found)
    return {"total": len(queue), "waiting": [_shown(record, why) for record, why in queue[offset : offset + limit]]}


@router.post("/{record}")
def decide(record: RecordId, decision: Decision, found: Opened) -> dict[str, Any]:
    """Keep a decision. It holds from the next `ingest` on, whatever recogniser reads the file then."""
    waiting = _of(found, record)
    if decision.verdict == "correct" and not decision.text.strip():
        raise UsageError("a correction needs a text", "To leave the passage out, reject it.")
    kept = review.decide(found.path, waiting, decision.verdict, decision.text.strip(), decision.who.strip())
    return {"verdict": kept.verdict, "text": kept.text, "who": kept.who, "when": kept.when}


@router.get("/{record}/picture", response_class=Response)
def picture(record: RecordId, found: Opened, request: Request) -> Response:
    """The piece of the page where a passage stands, as PNG."""
    return _piece(record, found, request, "image/png")


@router.get("/{record}/sound", response_class=Response)
def sound(record: RecordId, found: Opened, request: Request) -> Response:
    """The piece of the recording where a passage is said, as WAV."""
    return _piece(record, found, request, "audio/wav")


def _piece(record: str, found: Project, request: Request, kind: str) -> Response:
    waiting = _of(found, record)
    if ("time" in waiting.meta) != (kind == "audio/wav"):
        raise NotFoundError(
            "there is no such piece of this passage", "Text of a page has a picture, of a recording a sound."
        )
    given = {"project": str(found.path), "record": to_json(waiting)}
    piece = request.app.state.desk.call("material.piece", given, PIECE_SECONDS)
    return Response(base64.b64decode(piece["base64"]), media_type=kind)


def _queue(project: Project) -> list[tuple[Doc, str]]:
    return [] if project.newest("raw") is None else review.queue(project)


def _of(project: Project, record: str) -> Doc:
    """The passage of an id, whether somebody decided about it or not: a decision may be taken back."""
    path = (project.newest("raw") or project.path) / "ledger.jsonl"
    if path.is_file():
        about = path.stat()
        place = _places(path, about.st_mtime_ns, about.st_size).get(record)
        if place is not None:
            with path.open("rb") as file:
                file.seek(place)
                found = from_json(json.loads(file.readline())["record"])
            assert isinstance(found, Doc)
            return found
    raise NotFoundError("nothing of this id is in doubt", "See: GET /api/v1/projects/ID/review")


@lru_cache(maxsize=16)
def _places(path: Path, changed: int, size: int) -> dict[str, int]:
    """Where in a ledger, as it was at that time, the line of each passage in doubt begins, by its id: it is read once, not for every picture."""
    found: dict[str, int] = {}
    place = 0
    with path.open("rb") as file:
        for raw in file:
            if review.SUFFIX.encode() in raw:
                line = json.loads(raw)
                if review.waits(str(line["reason"])) and isinstance(from_json(line["record"]), Doc):
                    found.setdefault(line["record"]["id"], place)
            place += len(raw)
    return found


def _shown(record: Doc, why: str) -> dict[str, Any]:
    about = language(record.language)
    return {**review.as_json(record, why), "where": review.where(record), "direction": "rtl" if about.right_to_left else "auto",
            "piece": "sound" if "time" in record.meta else "picture"}  # fmt: skip
