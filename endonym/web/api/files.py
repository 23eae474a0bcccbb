"""Material: send files, hear what each is, see what the project learns from, take a file out again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from endonym.data import languages, rights
from endonym.errors import UsageError
from endonym.project import STATE_FOLDER, Project
from endonym.web.asked import Body, Opened, ProjectId, Text
from endonym.web.errors import NotFoundError
from endonym.web.shapes import material
from endonym.web.shapes.shape import answers
from endonym.web.uploads import FOLDER, FOUND, Receiver

router = APIRouter(prefix="/api/v1/projects/{project}/files", tags=["files"])
LOOK_SECONDS = 900.0
RIGHTS = (*rights.KEYS, "reader")
"""Fields that may come with the files and hold for all of them; restrictions with commas between."""
FileId = Annotated[str, InPath(pattern="^[0-9a-f]{16}$")]
MULTIPART = {
    "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": {"type": "object", "properties": {
        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
        **{name: {"type": "string"} for name in RIGHTS}}}}}}
}  # fmt: skip


@router.get("", **answers(material.Sources))
def listing(found: Opened) -> dict[str, Any]:
    """The sources: their files, reader, rights, what they were found to be when they were added; and the restrictions there are."""
    said = _found(found)
    known = [
        {"name": name, "says": rights.says(name), "forbids_publication": rights.forbids_publication(name)}
        for name in rights.known()
    ]
    return {"sources": [_source(found, source, said) for source in found.sources], "restrictions": known}


@router.post("", openapi_extra=MULTIPART, **answers(material.Uploaded, 201))
async def upload(project: ProjectId, request: Request) -> dict[str, Any]:
    """Take files (`multipart/form-data`, field `files`); the answer says of each what it is, or what is wrong with it.

    A file with problems is not kept. Files that belong together (a dictionary and its examples) are sent in one request.
    """
    root: Path = request.app.state.home.folder(project)
    receiver = Receiver(root / FOLDER, request.headers.get("content-type", ""), lambda: _sources(root))
    try:
        await receiver.take(request.stream())
        if not receiver.files:
            raise UsageError("there is no file in the request", "Send files in the field 'files'.")
        names = [one.path.relative_to(root).as_posix() for one in receiver.files]
        given = {"project": str(root), "files": names, "about": _about(receiver.fields)}
        findings = await run_in_threadpool(request.app.state.desk.call, "material.add", given, LOOK_SECONDS)
    except Exception:
        receiver.settle()
        raise
    receiver.settle()
    return {"sources": [_finding(root, one) for one in findings], "added": sum(one["added"] for one in findings)}


class Rights(Body):
    """What may be done with a source; what is left out stays, what is empty is taken away."""

    licence: Text | None = Field(None, max_length=1000)
    attribution: Text | None = Field(None, max_length=1000)
    consent: Text | None = Field(None, max_length=1000)
    restrictions: list[Text] | None = Field(None, max_length=32, description="Names that `GET files` lists.")


@router.patch("/{file}", **answers(material.Source))
def restate(file: FileId, asked: Rights, found: Opened, request: Request) -> dict[str, Any]:
    """Change the rights of the source that has this file; what is made from now on carries them, and exports ask them at once."""
    name = _named(found, file)
    given = {"project": str(found.path), "file": name, "rights": asked.model_dump(exclude_none=True)}
    source = request.app.state.desk.call("material.restate", given, LOOK_SECONDS)
    return _source(found, source, _found(found))


@router.delete("/{file}", **answers(material.Withdrawn))
def withdraw(file: FileId, found: Opened, request: Request) -> dict[str, Any]:
    """Take the source that has this file out of the project. Models that learned from it are named; they keep what they learned."""
    name = _named(found, file)
    given = {"project": str(found.path), "file": name}
    result: dict[str, Any] = request.app.state.desk.call("material.withdraw", given, LOOK_SECONDS)
    folder = found.path / Path(name).parent
    if Path(name).parts[0] == FOLDER and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    return result


def _sources(root: Path) -> set[Path]:
    return {root / name for source in Project(root).sources for name in source["files"]}


def _named(project: Project, file: str) -> str:
    for source in project.sources:
        for name in source["files"]:
            if ident(name) == file:
                return str(name)
    raise NotFoundError("no source has a file of this id", "See: GET /api/v1/projects/ID/files")


def _about(fields: dict[str, str]) -> dict[str, Any]:
    """What came with the files. Raises UsageError for a restriction that is none."""
    about: dict[str, Any] = {name: value for name in RIGHTS if (value := fields.get(name, "").strip())}
    if "restrictions" in about:
        about["restrictions"] = [name.strip() for name in about["restrictions"].split(",") if name.strip()]
        if problems := rights.problems_of(about):
            raise UsageError(problems[0], f"There are: {', '.join(rights.known())}.")
    return about


def ident(name: str) -> str:
    """The id of a source's file: made of its path, so that it is the same for whoever asks."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def _file(root: Path, name: str) -> dict[str, Any]:
    path = root / name
    size = path.stat().st_size if path.is_file() else None
    return {"id": ident(name), "name": Path(name).name, "path": name, "bytes": size}


def _finding(root: Path, finding: dict[str, Any]) -> dict[str, Any]:
    """What a file was found to be; languages with their names."""
    said = [{**one, "name": languages.name(one["language"]) if one["language"] else ""} for one in finding["languages"]]
    return {**finding, "languages": said, "files": [_file(root, name) for name in finding["files"]]}


def _source(project: Project, source: dict[str, Any], said: dict[str, dict[str, Any]]) -> dict[str, Any]:
    finding = said.get(source["files"][0])
    files = [_file(project.path, name) for name in source["files"]]
    shown: dict[str, Any] = _finding(project.path, finding) if finding else {"files": files}
    found = {name: value for name, value in shown.items() if name not in rights.KEYS}
    return found | {name: source[name] for name in RIGHTS if name in source}


def _found(project: Project) -> dict[str, dict[str, Any]]:
    """What sources were found to be, by their first file; the last word about each."""
    path = project.path / STATE_FOLDER / FOUND
    if not path.is_file():
        return {}
    found = {}
    for line in path.read_text(encoding="utf-8").split("\n"):
        try:
            one = json.loads(line)
        except ValueError:  # half a line, left by a kill
            continue
        found[one["files"][0]] = one
    return found
