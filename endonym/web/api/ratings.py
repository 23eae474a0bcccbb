"""Ratings: blind comparison of two answers, and scores from 0 to 100 with the errors marked; they become preference data."""

from __future__ import annotations

import json
import threading
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field

from endonym.data.languages import language
from endonym.errors import MissingError, UsageError
from endonym.project import Project
from endonym.store import jobs as rows
from endonym.web import ratings as store
from endonym.web.asked import SYSTEM, Body, Opened, Text
from endonym.web.errors import NotFoundError
from endonym.web.shapes import work
from endonym.web.shapes.shape import answers

router = APIRouter(prefix="/api/v1/projects/{project}/ratings", tags=["ratings"])
System = Annotated[str, Query(pattern=f"^({SYSTEM})?$")]
LOCK = threading.Lock()
"""What is shown depends on what was: one at a time."""


class Span(Body):
    """A mistake in a text, by the places of its characters (Unicode code points) from 0; `end` is the first that is not in it."""

    start: int = Field(ge=0, le=1_000_000)
    end: int = Field(ge=1, le=1_000_000)
    severity: Literal["minor", "major"] = "minor"
    note: Text = Field("", max_length=500)


class Rating(Body):
    """What somebody says of what was shown: `choice` of two, or `score` of one with `spans`."""

    id: Text = Field(pattern="^[0-9a-f]{16}$", description="As `next` gave it.")
    choice: Literal["left", "right", "tie"] | None = None
    score: float | None = Field(None, ge=0, le=100)
    spans: list[Span] = Field([], max_length=200)
    comment: Text = Field("", max_length=2000)


@router.get("", **answers(work.Ratings))
def summary(found: Opened) -> dict[str, Any]:
    """What the ratings say: wins with intervals and exact sign tests, mean scores, agreement, preferences."""
    return store.summary(store.Ratings.of(found))


@router.get("/next", **answers(work.Following))
def following(
    found: Opened,
    kind: Literal["ab", "span"] = "ab",
    rater: Annotated[str, Query(max_length=60, pattern=r"^[^\x00-\x1f]*$")] = "",
    a: System = "base",
    b: System = "",
) -> dict[str, Any]:
    """The next to rate, and which system is which is not said; `id` is null when all was rated."""
    second = b or str(rows.newest_artifact(found.db, "model") or "")
    if not second:
        raise MissingError("no model has been trained yet", "Train and evaluate one first.")
    if a == second:
        raise UsageError("a system is not compared with itself", "Name another one.")
    items = store.items(found, a, second)
    if not items:
        raise MissingError(
            "nothing was answered by both systems yet", "Evaluate or grade both: then there are answers."
        )
    with LOCK:
        ratings = store.Ratings.of(found)
        done = len(ratings.rated(kind, rater))
        chosen = store.choose(items, ratings, kind, rater, (a, second))
        if chosen is None:
            return {"id": None, "kind": kind, "rated": done, "total": len(items)}
        shown = ratings.show(kind, rater, *chosen)
    sides = ("left", "right") if kind == "ab" else ("text",)
    texts = {side: {"text": text} for side, text in zip(sides, shown.texts, strict=True)}
    return {"id": shown.id, "kind": kind, "rated": done, "total": len(items), **_about(found, chosen[0]), **texts}


@router.post("", **answers(work.Rated, 201))
def rate(rating: Rating, found: Opened) -> dict[str, Any]:
    """Keep a rating. The same `id` may be rated again: the last word counts."""
    with LOCK:
        ratings = store.Ratings.of(found)
        shown = ratings.shown.get(rating.id)
        if shown is None:
            raise NotFoundError("nothing of this id was shown", "See: GET /api/v1/projects/ID/ratings/next")
        _check(rating, shown)
        said = rating.model_dump(exclude={"id"}, exclude_defaults=True)
        ratings.rate(rating.id, said)
        again = store.Ratings.of(found)
    return {"kept": True, "rated": len(again.rated(shown.kind, shown.rater))}


@router.get("/preferences.jsonl", response_class=Response)
def preferences(found: Opened) -> Response:
    """Decisions about answers to question sets as preference records, a line each. Those about the sealed test are never among them."""
    lines = [json.dumps(one, ensure_ascii=False) + "\n" for one in store.preferences(store.Ratings.of(found))]
    headers = {"Content-Disposition": 'attachment; filename="preferences.jsonl"'}
    return Response("".join(lines), media_type="application/jsonl", headers=headers)


def _check(rating: Rating, shown: store.Shown) -> None:
    """Raises UsageError for a rating that does not fit what was shown."""
    if (rating.choice is None) == (shown.kind == "ab") or (rating.score is None) == (shown.kind == "span"):
        raise UsageError("this rating does not fit what was shown", "Two answers take a choice, one takes a score.")
    if rating.spans and (shown.kind == "ab" or any(not s.start < s.end <= len(shown.texts[0]) for s in rating.spans)):
        raise UsageError("a marked place is not in the text", "Count characters (code points) from 0.")


def _about(found: Project, item: store.Item) -> dict[str, Any]:
    source, _, target = item.about["direction"].partition(">")
    codes = {"source": source or found.pivot, "target": target or source or found.language}
    return {**item.about, "languages": {side: {"code": code, "direction": "rtl" if language(code).right_to_left else "auto"}
                                        for side, code in codes.items()}}  # fmt: skip
