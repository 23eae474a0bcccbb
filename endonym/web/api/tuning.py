"""OpenAI's files and fine-tuning jobs: its client trains here without a change."""

from __future__ import annotations

import re
import secrets
import shutil
import time
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from endonym.data.languages import code_of
from endonym.errors import UsageError
from endonym.jobs import submit as jobs
from endonym.project import Project
from endonym.store import jobs as rows
from endonym.teach.settings import Config
from endonym.web import tuning as store
from endonym.web.asked import Body, Text, Values
from endonym.web.errors import NotFoundError
from endonym.web.home import Home
from endonym.web.uploads import FOLDER, Receiver, new_folder

router = APIRouter(prefix="/v1", tags=["openai"])
LOOK_SECONDS = 900.0
Ident = Annotated[str, Query(max_length=100)]
Count = Annotated[int, Query(ge=1, le=10_000)]
MULTIPART = {
    "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": {"type": "object", "properties": {
        "file": {"type": "string", "format": "binary"}, "purpose": {"type": "string"}}, "required": ["file", "purpose"]}}}}
}  # fmt: skip


class Hyperparameters(Body):
    """What OpenAI's interface has names for."""

    n_epochs: Literal["auto"] | Annotated[int, Field(ge=1, le=1000)] = "auto"
    batch_size: Literal["auto"] | Annotated[int, Field(ge=1, le=4096)] = "auto"
    learning_rate_multiplier: Literal["auto"] | Annotated[float, Field(gt=0, le=1e4)] = "auto"


class Supervised(Body):
    """Settings of supervised fine-tuning."""

    hyperparameters: Hyperparameters = Hyperparameters()


class Method(Body):
    """How to train."""

    type: Literal["supervised"] = "supervised"
    supervised: Supervised = Supervised()


class NewTuning(BaseModel):
    """A fine-tuning job to start. What is asked for and not done is refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: Text = Field(
        min_length=1, max_length=1000, description="A base model of the catalog, or a local folder with one."
    )
    training_file: Text = Field(max_length=100, description="Id of an uploaded file with conversations, JSONL.")
    hyperparameters: Hyperparameters | None = None
    method: Method | None = None
    seed: int | None = Field(None, ge=0, le=(1 << 31) - 1)
    suffix: Text | None = Field(None, max_length=64, description="What the project is called.")
    metadata: dict[Text, Text] | None = Field(
        None, max_length=16, description="`language` says the language of the answers, by code or name."
    )
    validation_file: None = Field(None, description="Not possible: a part of the training file is held out.")
    integrations: list[Any] | None = Field(None, max_length=0)
    endonym: Values = Field({}, description="Further settings of `teach`, which win over the others.")

    def settings(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Settings of `teach`, and the hyperparameters as the job shows them."""
        asked = self.method.supervised.hyperparameters if self.method else self.hyperparameters or Hyperparameters()
        shown = asked.model_dump()
        usual = Config()
        found: dict[str, Any] = {"seed": usual.seed if self.seed is None else self.seed}
        if asked.n_epochs != "auto":
            found["epochs"] = asked.n_epochs
        if asked.batch_size != "auto":
            found |= {"batch_size": asked.batch_size, "gradient_accumulation_steps": 1}
        if asked.learning_rate_multiplier != "auto":
            found["learning_rate"] = usual.learning_rate * asked.learning_rate_multiplier
        return found | self.endonym, shown


@router.post("/files", openapi_extra=MULTIPART)
async def upload(request: Request) -> dict[str, Any]:
    """Keep one file (`multipart/form-data`: `file`, `purpose`)."""
    files = _files(request)
    receiver = Receiver(files.place, request.headers.get("content-type", ""), files.kept)
    try:
        await receiver.take(request.stream())
        if len(receiver.files) != 1:
            raise UsageError(f"one file a request, and there are {len(receiver.files)}", "Send it in the field 'file'.")
        if (purpose := receiver.fields.get("purpose", "")) != "fine-tune":
            raise UsageError(
                f"files are taken for the purpose 'fine-tune', not '{purpose[:40]}'", "Say purpose='fine-tune'."
            )
        file = receiver.files[0].path
        kept = files.keep(receiver.folder, file, file.name, purpose)
    except Exception:
        receiver.settle()
        raise
    receiver.settle()
    return kept


@router.get("/files")
def files(request: Request, purpose: Ident = "", after: Ident = "", limit: Count = 10_000) -> dict[str, Any]:
    """The files, newest first."""
    known = [one for one in _files(request).listing() if purpose in ("", one["purpose"])]
    return _page(known, after, limit)


@router.get("/files/{file}")
def file(file: str, request: Request) -> dict[str, Any]:
    """One file."""
    return _files(request).get(file)


@router.get("/files/{file}/content", response_class=FileResponse)
def content(file: str, request: Request) -> Response:
    """What stands in a file."""
    path = _files(request).path(file)
    return FileResponse(path, media_type="application/octet-stream", filename=path.name)


@router.delete("/files/{file}")
def delete(file: str, request: Request) -> dict[str, Any]:
    """Remove a file; jobs that were started with it keep their copy."""
    _files(request).delete(file)
    return {"id": file, "object": "file", "deleted": True}


@router.post("/fine_tuning/jobs")
async def create(new: NewTuning, request: Request) -> dict[str, Any]:
    """Make a project of the file and teach the model in nine steps."""
    return await run_in_threadpool(_create, new, request)


def _create(new: NewTuning, request: Request) -> dict[str, Any]:
    home: Home = request.app.state.home
    base, source = home.base(new.model), _files(request).path(new.training_file)
    metadata = dict(new.metadata or {})
    language = code_of(metadata.get("language", "eng"), "language")
    settings, hyperparameters = new.settings()
    home.allow(settings)
    name = store.make_project(home, new.suffix or source.stem, language, base)
    try:
        with home.opened(name) as project:
            copy = new_folder(project.path / FOLDER) / f"{source.stem}.jsonl"
            shutil.copyfile(source, copy)
            given = {
                "project": str(project.path),
                "files": [copy.relative_to(project.path).as_posix()],
                "about": {"reader": "chat"},
            }
            (finding,) = request.app.state.desk.call("material.add", given, LOOK_SECONDS)
            if not finding["added"]:
                said = "; ".join(f"line {one['line']}: {one['what']}" for one in finding["problems"][:5])
                raise UsageError(
                    f"the file has no conversations to learn: {said}", 'Every line is {"messages": [...]}.'
                )
        with home.opened(name) as project:
            row = jobs.submit(project, "teach", "", settings)
            about = {
                "id": f"ftjob-{secrets.token_hex(8)}", "created_at": int(time.time()), "job": row.id, "model": new.model,
                "training_file": new.training_file, "hyperparameters": hyperparameters, "seed": settings["seed"],
                "metadata": metadata,
            }  # fmt: skip
            tuning = store.Tuning(name, about)
            store.remember(home, tuning)
            return store.described(project, tuning)
    except BaseException:
        if not list((home.path / name / "runs").glob("*")):
            shutil.rmtree(home.path / name)
        raise


@router.get("/fine_tuning/jobs")
def tunings(request: Request, after: Ident = "", limit: Count = 20) -> dict[str, Any]:
    """Fine-tuning jobs, newest first."""
    home: Home = request.app.state.home
    page = _page([{"id": one.id, "tuning": one} for one in store.find(home)], after, limit)
    shown = []
    for one in page["data"]:
        with home.opened(one["tuning"].project) as project:
            shown.append(store.described(project, one["tuning"]))
    return page | {"data": shown}


@router.get("/fine_tuning/jobs/{tuning}")
def retrieve(tuning: str, request: Request) -> dict[str, Any]:
    """One fine-tuning job."""
    return _with(request, tuning, store.described)


@router.get("/fine_tuning/jobs/{tuning}/events")
def events(tuning: str, request: Request, after: Ident = "", limit: Count = 20) -> dict[str, Any]:
    """What happened, newest first."""
    found = re.fullmatch(r"ftevent-(\d{1,18})", after)
    if after and not found:
        raise NotFoundError(f"there is no event '{after}'", "Take the id of the last one.")
    before = int(found[1]) if found else (1 << 62)
    shown = _with(request, tuning, lambda project, one: store.events(project, before, limit + 1))
    return {"object": "list", "data": shown[:limit], "has_more": len(shown) > limit}


@router.get("/fine_tuning/jobs/{tuning}/checkpoints")
def checkpoints(tuning: str, request: Request, after: Ident = "", limit: Count = 10) -> dict[str, Any]:
    """Checkpoints that can be asked."""
    return _page(_with(request, tuning, store.checkpoints), after, limit)


@router.post("/fine_tuning/jobs/{tuning}/cancel")
def cancel(tuning: str, request: Request) -> dict[str, Any]:
    """End a job."""
    return _asked(request, tuning, lambda project, job: rows.request_cancel(project.db, job))


@router.post("/fine_tuning/jobs/{tuning}/pause")
def pause(tuning: str, request: Request) -> dict[str, Any]:
    """Let a job save and stop."""
    return _asked(request, tuning, lambda project, job: rows.request_pause(project.db, job))


@router.post("/fine_tuning/jobs/{tuning}/resume")
def resume(tuning: str, request: Request) -> dict[str, Any]:
    """Let a job go on from its last checkpoint."""
    home: Home = request.app.state.home
    one = store.get(home, tuning)
    with home.opened(one.project) as project:
        row = jobs.resume(project, one.about["job"])
        one = store.Tuning(one.project, one.about | {"job": row.id})
        store.remember(home, one)
        return store.described(project, one)


def _asked(request: Request, ident: str, ask: Callable[[Project, int], object]) -> dict[str, Any]:
    def act(project: Project, one: store.Tuning) -> dict[str, Any]:
        ask(project, one.about["job"])
        return store.described(project, one)

    return _with(request, ident, act)


def _with(request: Request, ident: str, act: Callable[[Project, store.Tuning], Any]) -> Any:
    home: Home = request.app.state.home
    one = store.get(home, ident)
    with home.opened(one.project) as project:
        return act(project, one)


def _files(request: Request) -> store.Files:
    home: Home = request.app.state.home
    return store.Files(home.path)


def _page(known: list[dict[str, Any]], after: str, limit: int) -> dict[str, Any]:
    """A list as OpenAI's clients page through it."""
    ids = [one["id"] for one in known]
    if after and after not in ids:
        raise NotFoundError(f"there is nothing of the id '{after}'", "Take the id of the last one.")
    begin = ids.index(after) + 1 if after else 0
    page = known[begin : begin + limit]
    ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
    return {"object": "list", "data": page, "has_more": begin + limit < len(known), **ends}
