"""The studio as an ASGI application: API, OpenAI's interface, pages and files behind one guard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from endonym import __version__
from endonym.web import errors, pages, static_files, stream
from endonym.web.answers import Json
from endonym.web.api import (
    chat,
    completions,
    datasets,
    files,
    jobs,
    models,
    projects,
    ratings,
    recipes,
    results,
    review,
    tuning,
)
from endonym.web.aside.client import Aside
from endonym.web.guard import StudioGuard
from endonym.web.home import Home
from endonym.web.session import Sessions
from endonym.web.tending import Tending

ROUTERS = tuple(
    part.router
    for part in (
        projects,
        files,
        datasets,
        review,
        jobs,
        stream,
        recipes,
        models,
        results,
        chat,
        ratings,
        tuning,
        completions,
    )
)


def create_app(
    home: Path,
    token: str,
    *,
    sessions: Sessions | None = None,
    hosts: Iterable[str] = (),
    origins: Iterable[str] = (),
    open_to_network: bool = False,
    network: bool = True,
) -> StudioGuard:
    """The studio over the projects in the folder `home`; `token` opens it, and so do cookies that `sessions` gave out.

    With `open_to_network`, others than this computer's own users may ask, who name no paths. Without `network`, no model is fetched.
    """
    app = FastAPI(
        title="Endonym",
        version=__version__,
        description="Teach a language model your language or field, and measure what it learned.",
        docs_url=None,
        redirect_slashes=False,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        lifespan=_running,
        default_response_class=Json,
    )
    app.state.home, app.state.network = Home(home, paths=not open_to_network), network
    app.state.sessions = sessions or Sessions(token)
    # Answers of models can take long, and nothing else should wait for them.
    app.state.models, app.state.desk = Aside("models"), Aside("desk")
    errors.handle(app)
    for router in ROUTERS:
        app.include_router(router)
    app.include_router(pages.router)
    app.mount("/static", static_files.files(), name="static")
    return StudioGuard(app, token, app.state.sessions, hosts=hosts, origins=origins, open_to_network=open_to_network)


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    tending = Tending(app.state.home, (app.state.models, app.state.desk))
    tending.start()
    try:
        yield
    finally:
        tending.stop()
        app.state.models.close()
        app.state.desk.close()
