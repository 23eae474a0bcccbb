"""Let models answer: the base and trained ones, kept loaded, a token of each in turn so that they are seen side by side."""

from __future__ import annotations

import gc
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.errors import EndonymError, MissingError, UsageError
from endonym.project import Project
from endonym.serve.answer import Answer, Params, until
from endonym.store import jobs as rows
from endonym.types import Message

if TYPE_CHECKING:
    from endonym.retrieve.context import Context
    from endonym.serve.backends.transformers import TransformersEngine

KEPT = 2
"""Models that stay loaded when nobody asks them, the last used."""
_LOADED: OrderedDict[str, TransformersEngine] = OrderedDict()

Events = Iterator[tuple[str, dict[str, Any]]]


def chat(
    project: str,
    systems: list[str],
    messages: list[dict[str, str]],
    task: str,
    direction: str,
    retrieval: bool,
    params: dict[str, Any],
    stops: list[str],
    kept: str = "",
) -> Events:
    """Answer with each system: `base` or the number of a training job, or without a project the name of a model of the catalog.

    Yields `start` with the prompt as it is asked, `token` with text, `end` with the whole answer, or `problem`, each with its
    `system`; then `done`. With a task, the last message is the text it is about, and the prompt the one of training. What models over
    bytes have read is kept in files whose names begin with `kept`.
    """
    home = Project(project) if project else None
    asked = tuple(Message(turn["role"], turn["content"]) for turn in messages)
    going: dict[str, tuple[Iterator[str], Answer, list[str], float]] = {}
    for system in systems:
        try:
            prompt = _prompt(home, system, systems, asked, task, direction, retrieval)
            engine = _engine(home, system)
            ids = engine.encode(prompt)
            room = engine.context - len(ids)
            if room < 1:
                raise UsageError(f"the prompt has {len(ids)} tokens, the model takes {engine.context}", "Shorten it.")
            file = Path(f"{kept}.{system}.safetensors") if kept else None
            answer = engine.generate(ids, Params(**params).within(room), file=file)
        except EndonymError as error:
            yield "problem", _problem(system, error)
            continue
        shown = [{"role": m.role, "content": m.content} for m in prompt]
        yield "start", {"system": system, "prompt": shown, "prompt_tokens": len(ids)}
        going[system] = (until(answer, stops), answer, [], time.monotonic())
    while going:
        for system, (pieces, answer, said, began) in list(going.items()):
            piece = next(pieces, None)
            if piece is not None:
                said.append(piece)
                yield "token", {"system": system, "text": piece}
                continue
            del going[system]
            yield "end", {
                "system": system, "text": "".join(said), "finish": answer.finish, "prompt_tokens": answer.prompt_tokens,
                "completion_tokens": answer.completion_tokens, "seconds": round(time.monotonic() - began, 3),
            }  # fmt: skip
    yield "done", {}


def _prompt(
    home: Project | None,
    system: str,
    systems: list[str],
    asked: tuple[Message, ...],
    task: str,
    direction: str,
    retrieval: bool,
) -> tuple[Message, ...]:
    """The messages as they are, or the last one put to a task as training did; the base gets the prompt of the model beside it."""
    if not task:
        return asked
    if home is None:
        raise UsageError("this model belongs to no project, so it has no tasks", "Ask a model that was trained here.")
    number = next((int(one) for one in (system, *systems) if one != "base"), None)
    context = _context(home, number)
    context.without_hints = not retrieval
    direction = direction or f"{home.pivot}>{home.language}"
    return context.chat_for(task, asked[-1].content, direction).prompt


def _context(home: Project, model: int | None) -> Context:
    from endonym.retrieve.context import Context

    chats = home.ancestry(_folder(home, model)).get("chats") if model is not None else home.newest("chats")
    if chats is None:
        raise MissingError("there are no composed chats to take prompts and hints from", "Run: compose.")
    return Context.load(chats, home.path)


def _folder(home: Project, job: int) -> Path:
    if job not in [int(row["job"]) for row in rows.artifacts(home.db, "model")]:
        raise UsageError(f"job {job} trained no model", "See the models of the project.")
    return home.output(job)


def _engine(home: Project | None, system: str) -> TransformersEngine:
    """The model of a system, loaded when it is not yet."""
    from endonym.models.load import load_model
    from endonym.serve.backends import transformers as backend

    folder = _folder(home, int(system)) if home and system != "base" else None
    base = home.base if home else system
    key = base if folder is None else str(folder)
    engine = _LOADED.pop(key, None)
    if engine is None:
        while len(_LOADED) >= KEPT:
            _LOADED.popitem(last=False)
            gc.collect()
        engine = (
            backend.TransformersEngine(load_model(base), base)
            if folder is None
            else backend.load(folder, backend.Config())
        )
    _LOADED[key] = engine
    return engine


def _problem(system: str, error: EndonymError) -> dict[str, Any]:
    return {"system": system, "message": error.message, "hint": error.hint, "type": type(error).__name__}
