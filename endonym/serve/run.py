"""Answer programs on this computer as OpenAI's interface does, with the trained model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym import plugins
from endonym.errors import MissingError, UsageError

if TYPE_CHECKING:
    from endonym.project import Project
    from endonym.types import Message

KIND = "backend"
CHOICE = "one"
DEFAULT = "transformers"
INPUTS = {"model": "model?", "export": "export?", "chats": "chats?"}
PRODUCES = ""
"""A server runs in the foreground and leaves nothing behind: the command line calls `serve` instead of submitting a job."""


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on; anything but this computer needs --token.")
    port: int = Field(8321, ge=0, le=65535, description="Port to listen on; 0 for a free one.")
    token: str = Field("", description="API key clients must give; without it, the project's own in .endonym/token.")
    hosts: list[str] = Field([], description="Further names clients may call this server by.")
    origins: list[str] = Field([], description="Web page origins that may use this server, as http://name:port.")
    max_tokens: int = Field(512, ge=1, description="Longest answer when a request does not say.")
    temperature: float = Field(
        0.0, ge=0, le=2, description="Used when a request names none; 0 takes the likeliest word."
    )


def serve(project: Project, backend: str, cfg: Config, settings: Any = None) -> None:
    """Load the newest model into `backend` and answer requests until interrupted.

    Raises UsageError for an address open to the network without a token, MissingError when there is nothing to serve.
    """
    from endonym.serve.guard import is_loopback, project_token

    if not is_loopback(cfg.host) and len(cfg.token) < 16:
        raise UsageError(
            f"listening on {cfg.host} lets other computers in, and no --token of at least 16 characters was given",
            "Leave --host out, or choose a token: --token \"$(python -c 'import secrets; print(secrets.token_urlsafe(32))')\"",
        )
    module = plugins.load("backend", backend, project.path)
    folder = _artifact(project, module)
    print(f"loading {folder} ...", file=sys.stderr, flush=True)
    engine = module.load(folder, settings if settings is not None else module.Config())
    engine.name = project.name
    token, path, is_new = (cfg.token, None, False) if cfg.token else project_token(project.path)
    _listen(engine, token, cfg, _composer(project, folder), _where(path, token, is_new))


def run(cfg: Config, job: Any) -> None:
    """Refuse to be a background job: a server has no result that could be skipped or resumed."""
    raise UsageError("'serve' runs in the foreground and is no job", "Run: endonym serve")


def _listen(engine: Any, token: str, cfg: Config, compose: Any, token_words: str) -> None:
    import uvicorn

    from endonym.serve.guard import is_loopback
    from endonym.serve.openai import create_app

    app = create_app(
        engine,
        token,
        compose=compose,
        hosts=cfg.hosts,
        origins=cfg.origins,
        open_to_network=not is_loopback(cfg.host),
        max_tokens=cfg.max_tokens,
        temperature=cfg.temperature,
    )
    config = uvicorn.Config(app, host=cfg.host, port=cfg.port, log_level="warning", server_header=False, ws="none")
    listening = bind(config)
    host = f"[{cfg.host}]" if ":" in cfg.host else cfg.host
    print(
        f"{engine.name} answers on http://{host}:{listening.getsockname()[1]}/v1 (OpenAI-compatible)\n{token_words}\n"
        "Ctrl-C stops it.",
        file=sys.stderr,
        flush=True,
    )
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        engine.close()


def bind(config: Any) -> Any:
    """The listening socket of a uvicorn configuration. Small answers are sent at once: otherwise each waits 40 ms for the client's leave.

    asyncio sees to that itself only for sockets it made. Raises UsageError where the port is taken.
    """
    import socket

    try:
        listening = config.bind_socket()
    except SystemExit:
        raise UsageError(
            f"port {config.port} of {config.host} cannot be listened on",
            "Another program may use it: choose another --port, or 0.",
        ) from None
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _where(path: Path | None, token: str, is_new: bool) -> str:
    if path is None:
        return "API key: the --token you gave"
    return f"API key: {token}  (kept in {path}; shown this once)" if is_new else f"API key: in {path}"


def _artifact(project: Project, module: Any) -> Path:
    """The folder a backend serves: the newest export with the file it runs where it names one, else the newest trained model."""
    from endonym.store import jobs as rows

    if hasattr(module, "EXPORT"):
        name, pattern = module.EXPORT
        for row in reversed(rows.artifacts(project.db, "export")):
            if any(project.output(row["job"]).glob(pattern)):
                return project.output(row["job"])
        raise MissingError(f"there is no {name.upper()} export to serve", f"Make one with: endonym export {name}")
    folder = project.newest("model")
    if folder is None:
        raise MissingError("there is no trained model to serve", "Train one first: endonym run")
    return folder


def _composer(project: Project, folder: Path) -> Callable[[str, str, str], tuple[Message, ...]] | None:
    """The prompts and hints the served model was trained with; None when its chats are gone."""
    from endonym.retrieve.context import Context

    chats = project.ancestry(folder).get("chats")
    if chats is None or not (chats / "compose.json").is_file():
        return None
    context = Context.load(chats, project.path)
    return lambda task, text, direction: context.chat_for(task, text, direction).prompt
