"""The pages: a frame rendered here, with the answers of the API that the page begins with inside it.

A page is the frame (`pages/frame.html`), the API addresses whose answers it begins with, which stand in it as JSON, and a module
of its name in `static/pages/`, which takes it from there.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from endonym import plugins
from endonym.data import languages
from endonym.jobs.stage import sentence
from endonym.teach.settings import Config
from endonym.teach.told import sentences
from endonym.web.errors import answer
from endonym.web.guard import ENTER
from endonym.web.session import COOKIE, SESSION_SECONDS

FOLDER = Path(__file__).with_name("pages")
STRINGS = Path(__file__).with_name("strings")
PROJECT = "/api/v1/projects/{project}"
THEME, LANGUAGE = "endonym_theme", "endonym_lang"
"""Cookies that the pages set: what the reader chose."""
PAGES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    # address, page, what the API is asked for it
    ("/", "projects", ("/api/v1/projects",)),
    ("/p/{project}", "overview", (PROJECT,)),
    ("/p/{project}/material", "material", (PROJECT,)),
    ("/p/{project}/review", "review", (PROJECT,)),
    ("/p/{project}/tokenizer", "tokenizer", (PROJECT,)),
    ("/p/{project}/train", "train", (PROJECT,)),
    ("/p/{project}/jobs", "jobs", (PROJECT,)),
    ("/p/{project}/jobs/{job}", "job", (PROJECT,)),
    ("/p/{project}/compare", "compare", (PROJECT,)),
    ("/p/{project}/rate", "rate", (PROJECT,)),
    ("/p/{project}/chat", "chat", (PROJECT,)),
    ("/p/{project}/report", "report", (PROJECT,)),
    ("/p/{project}/export", "export", (PROJECT,)),
)
ENVIRONMENT = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined)
ENVIRONMENT.filters["tag"] = languages.tag

router = APIRouter(include_in_schema=False)


@router.get(ENTER)
def enter(request: Request, code: str = "") -> Response:
    """Take a code that is good once, give a session's cookie for it, and go to the page it is for."""
    sessions = request.app.state.sessions
    entered = sessions.enter(code)
    if entered is None and sessions.known([request.headers.get("cookie", "").encode("latin-1", "replace")]):
        return RedirectResponse("/", 303)
    if entered is None:
        return answer(403, "this address was used, or is too old", "Run endonym studio again.", "UsageError", "used")
    value, where = entered
    response = RedirectResponse(where, 303)
    secure = request.url.scheme == "https"
    response.set_cookie(
        COOKIE, value, max_age=SESSION_SECONDS, path="/", httponly=True, samesite="strict", secure=secure
    )
    return response


def _route(address: str, name: str, asked: tuple[str, ...]) -> None:
    @router.get(address, name=name)
    async def page(request: Request) -> Response:
        names = {name: quote(value, safe="") for name, value in request.path_params.items()}
        first = {}
        for path in (one.format(**names) for one in asked):
            status, data = await _answer(request, path)
            if status != 200:
                return render(request, "problem", data, status)
            first[path] = data
        return render(request, name, first)


for _page in PAGES:
    _route(*_page)


def render(request: Request, page: str, first: dict[str, Any], status: int = 200) -> HTMLResponse:
    """A page with what the API said at first (`first`: address -> answer), in the language and the theme of the reader."""
    lang = language(request)
    given = {"page": page, "names": request.path_params, "lang": lang, "strings": strings(lang), "first": first}
    text = ENVIRONMENT.get_template("frame.html").render(
        **given, data=_as_script(given), languages=_languages(), theme=request.cookies.get(THEME, "")
    )
    return HTMLResponse(text, status)


def language(request: Request) -> str:
    """The interface's language: `?lang=`, else the one chosen before, else the first of the browser's that there is, else English."""
    wanted = [request.query_params.get("lang", ""), request.cookies.get(LANGUAGE, "")]
    wanted += [part.partition(";")[0].strip() for part in request.headers.get("accept-language", "").split(",")]
    return next((short for one in wanted if (short := one.partition("-")[0].lower()) in _languages()), "en")


@cache
def _languages() -> dict[str, str]:
    """The languages of the interface by code, each with its own name."""
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(STRINGS.glob("*.json"))}
    return {code: words["language"] for code, words in found.items()}


@cache
def strings(lang: str) -> dict[str, Any]:
    """The interface's words in a language, in English what it lacks."""
    own: dict[str, Any] = json.loads((STRINGS / f"{lang}.json").read_text(encoding="utf-8"))
    return own | _of_the_program() if lang == "en" else {**strings("en"), **own}


def _of_the_program() -> dict[str, Any]:
    """What the program itself says in English: the parts of the steps' sentences, what each recipe does, and what the settings of
    `teach` are for."""
    fields = Config.model_fields.items()
    recipes = {"teach": sentence("teach")} | {name: one.help for name, one in plugins.available("recipe").items()}
    settings = {field.alias or name: field.description for name, field in fields}
    return {"said": sentences(), "recipes_text": recipes, "help_teach": settings}


def _as_script(data: Any) -> Markup:
    """JSON that can stand inside a `<script>`: nothing in it can end the element or begin a comment."""
    text = json.dumps(data, ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


async def _answer(request: Request, path: str) -> tuple[int, Any]:
    """What the API answers to a GET: asked inside this process, so that a page begins with exactly what its module gets later."""
    raw, _, query = path.partition("?")
    scope = {
        **request.scope, "method": "GET", "path": unquote(raw), "raw_path": raw.encode(), "query_string": query.encode(),
        "path_params": {}, "headers": [(name, value) for name, value in request.scope["headers"] if name == b"host"],
    }  # fmt: skip
    scope = {key: value for key, value in scope.items() if key not in ("route", "endpoint", "router", "root_path")}
    status, body = 0, b""

    async def send(message: Any) -> None:
        nonlocal status, body
        status = message.get("status", status)
        body += message.get("body", b"")

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    await request.app(scope, receive, send)
    return status, json.loads(body)
