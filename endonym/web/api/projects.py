"""Projects: list them, make one, and see what one has."""

from __future__ import annotations

import json
import sqlite3
from ipaddress import ip_address
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field

from endonym import __version__
from endonym.data import languages
from endonym.errors import EndonymError
from endonym.project import Project
from endonym.store import jobs as rows
from endonym.web.answers import read_object
from endonym.web.asked import Body, Opened, Text
from endonym.web.errors import NotFoundError
from endonym.web.home import LONGEST_NAME
from endonym.web.shapes import material
from endonym.web.shapes.shape import answers

router = APIRouter(prefix="/api/v1", tags=["projects"])
MOST_LANGUAGES = 50


class NewProject(Body):
    """A project to make."""

    name: Text = Field(min_length=1, max_length=LONGEST_NAME, description="What it is called.")
    language: Text = Field(
        min_length=2, max_length=80, description="The language to teach: its ISO 639-3 code or its name."
    )
    pivot: Text = Field("eng", min_length=2, max_length=80, description="The language it is taught through.")
    base: Text = Field(
        "smollm2-135m", min_length=1, max_length=1000, description="A model of the catalog, or a local folder with one."
    )


class Change(Body):
    """What is to be another."""

    base: Text = Field(min_length=1, max_length=1000, description="A model of the catalog, or a local folder with one.")


class Entrance(Body):
    """The page that a new address leads to."""

    page: Text = Field("/", max_length=1000, pattern=r"^/(p/[^/\\\s]+)?$", description="Path of the page.")


@router.get("/about")
def about(request: Request) -> dict[str, Any]:
    """What answers here, and which folder it looks at."""
    return {"name": "endonym", "version": __version__, "home": str(request.app.state.home.path)}


@router.get("/prove")
def prove(nonce: Annotated[str, Query(pattern="^[0-9a-f]{64}$")], request: Request) -> dict[str, str]:
    """Proof that this studio knows its token, for a program on this computer that is not going to give it to any other."""
    near = request.client is not None and ip_address(request.client.host).is_loopback
    if not near or request.scope.get("server") is None:
        raise NotFoundError("proofs are for programs on this computer", "Give the token of a studio that you know.")
    return {"proof": request.app.state.sessions.proof(nonce, tuple(request.scope["server"]))}


@router.get("/projects/{project}/artifacts", **answers(material.Artifacts))
def artifacts(found: Opened) -> dict[str, Any]:
    """Everything that jobs made, newest first, with the hashes of what it was made of."""
    made = []
    for row in reversed(rows.artifacts(found.db)):
        job = rows.get(found.db, row["job"])
        about = {"job": job.id, "verb": job.verb, "plugin": job.plugin, "kind": row["kind"], "hash": row["hash"]}
        made.append({**about, "created": row["created"], "parents": json.loads(row["parents"])})
    return {"artifacts": made}


@router.post("/enter")
def enter(asked: Entrance, request: Request) -> dict[str, str]:
    """A new address of the studio that opens once, for a program that has the token."""
    return {"path": f"/enter?code={request.app.state.sessions.new_code(asked.page)}"}


@router.get("/languages", **answers(material.Languages))
def known_languages(query: Annotated[str, Query(max_length=80)] = "") -> dict[str, Any]:
    """Languages whose name, in any language the table has, or code begins with what is typed; without a query, those the table knows well."""
    said = query.strip()
    found = (
        [one.code for one in languages.beginning(said, MOST_LANGUAGES)] if said else languages.codes()[:MOST_LANGUAGES]
    )
    return {"languages": [language(code) for code in found]}


@router.get("/projects", **answers(material.Projects))
def listing(request: Request) -> dict[str, Any]:
    """All projects, the one with the newest job first; one that cannot be opened says why."""
    found = []
    for name in request.app.state.home.names():
        try:
            with request.app.state.home.opened(name) as project:
                found.append(described(project))
        except (EndonymError, sqlite3.Error) as error:
            message = error.message if isinstance(error, EndonymError) else str(error)
            found.append({"id": name, "name": name, "problem": message})
    return {"projects": sorted(found, key=lambda one: -one.get("changed", 0.0))}


@router.post("/projects", **answers(material.Project, 201))
def create(new: NewProject, request: Request) -> dict[str, Any]:
    """Make a project in the studio's folder."""
    home = request.app.state.home
    with home.opened(home.create(new.name.strip(), new.language, new.pivot, new.base)) as project:
        return described(project)


@router.get("/projects/{project}", **answers(material.Project))
def read(found: Opened) -> dict[str, Any]:
    """One project: its languages, base, sources, jobs by state, the newest artifact of each kind, experience."""
    return described(found)


@router.patch("/projects/{project}", **answers(material.Project))
def change(asked: Change, found: Opened, request: Request) -> dict[str, Any]:
    """Choose another base model for the project. Jobs that were started keep the one they have."""
    found.choose_base(request.app.state.home.base(asked.base))
    return described(found)


def described(project: Project) -> dict[str, Any]:
    """A project as JSON."""
    states = project.db.execute("SELECT state, COUNT(*) AS number FROM jobs GROUP BY state").fetchall()
    newest = project.db.execute("SELECT kind, MAX(job) AS job, created, hash FROM artifacts GROUP BY kind").fetchall()
    (changed,) = project.db.execute("SELECT MAX(MAX(created), MAX(COALESCE(finished, 0))) FROM jobs").fetchone()
    return {
        "id": project.path.name, "name": project.name, "description": str(project.about["description"]),
        "language": language(project.language), "pivot": language(project.pivot), "base": project.base,
        "sources": len(project.sources), "jobs": {row["state"]: row["number"] for row in states},
        "artifacts": {row["kind"]: {"job": row["job"], "created": row["created"], "hash": row["hash"]} for row in newest},
        "experience": _experience(project), "changed": changed or project.file.stat().st_mtime,
    }  # fmt: skip


def language(code: str) -> dict[str, Any]:
    """A language as the pages show it: `own` is what it calls itself."""
    found = languages.language(code)
    return {"code": code, "name": languages.name(code), "own": languages.name(code, found.code),
            "direction": "rtl" if found.right_to_left else "ltr"}  # fmt: skip


def _experience(project: Project) -> dict[str, Any] | None:
    """Points and level of the newest lesson; None before the first."""
    job = rows.newest_artifact(project.db, "lesson")
    if job is None:
        return None
    found: dict[str, Any] | None = read_object(project.output(job) / "result.json").get("experience")
    return found
