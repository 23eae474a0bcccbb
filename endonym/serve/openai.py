"""The OpenAI-compatible routes: models, chat completions and completions, streamed or whole, and vectors of texts."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from struct import pack
from typing import Any

from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from endonym import __version__
from endonym.errors import EndonymError, UsageError
from endonym.serve.answer import Answer, Embedder, Engine, Params, until
from endonym.serve.guard import Guard
from endonym.serve.requests import ChatRequest, Request, TextRequest, VectorRequest
from endonym.store.files import one_line
from endonym.types import Message

MAX_WAITING = 16
"""Requests that may wait for the one model; further ones are told to come back."""
LOOK_SECONDS = 0.5
"""How often a waiting request looks whether its client is still there."""

Composer = Callable[[str, str, str], tuple[Message, ...]]
"""`(task, text, direction) -> messages`: the prompt that training used, with its hints."""


@dataclass
class Server:
    """One model, one generation at a time."""

    engine: Engine
    compose: Composer | None = None
    max_tokens: int = 512
    temperature: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    waiting: int = 0
    started: int = field(default_factory=lambda: int(time.time()))

    def messages(self, request: ChatRequest) -> tuple[Message, ...]:
        """The chat as asked, its last user text put to a task when the request says so."""
        messages = tuple(turn.message() for turn in request.messages)
        if request.endonym is None:
            return messages
        if self.compose is None:
            raise UsageError(
                "this server has no tasks", "Run: endonym compose, train, and start the server in that project."
            )
        if messages[-1].role != "user":
            raise UsageError("the last message must be the user's text", "Put the text to translate into it.")
        return self.compose(request.endonym.task, messages[-1].content, request.endonym.direction)

    def prepare(self, asked: tuple[Message, ...] | str, request: Request) -> tuple[list[int], Params]:
        """Token ids of the prompt and generation settings that fit. Raises UsageError when the prompt is too long."""
        ids = self.engine.encode(asked)
        room = self.engine.context - len(ids)
        if room < 1:
            raise UsageError(f"the prompt has {len(ids)} tokens, the model takes {self.engine.context}", "Shorten it.")
        return ids, request.params(min(self.max_tokens, room), self.temperature).within(room)

    async def pieces(
        self, ids: list[int], params: Params, stops: list[str], http: HttpRequest
    ) -> AsyncGenerator[str | Answer, None]:
        """Yield text as it is generated in another thread, then the finished answer. Stops when the client goes away."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[str | Answer | BaseException] = asyncio.Queue()
        gone = threading.Event()

        def put(item: str | Answer | BaseException) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(queue.put_nowait, item)

        def work() -> None:
            try:
                with self.lock, closing(self.engine.generate(ids, params, gone.is_set)) as answer:
                    for piece in until(answer, stops):
                        put(piece)
                        if gone.is_set():
                            break
                put(answer)
            except BaseException as error:  # it must reach the waiting request, whatever it is
                put(error)

        self.waiting += 1
        threading.Thread(target=work, daemon=True).start()
        try:
            while True:
                try:
                    item = await asyncio.wait_for(queue.get(), LOOK_SECONDS)
                except TimeoutError:
                    if await http.is_disconnected():
                        return
                    continue
                if isinstance(item, BaseException):
                    raise item
                yield item
                if isinstance(item, Answer):
                    return
        finally:
            gone.set()
            self.waiting -= 1


def create_app(
    engine: Engine,
    token: str,
    *,
    compose: Composer | None = None,
    hosts: Iterable[str] = (),
    origins: Iterable[str] = (),
    open_to_network: bool = False,
    max_tokens: int = 512,
    temperature: float = 0.0,
) -> Guard:
    """The server as an ASGI application behind its guard."""
    server = Server(engine, compose, max_tokens, temperature)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _handle_errors(app)

    @app.get("/health")
    def health() -> dict[str, Any]:
        return {"status": "ok", "model": engine.name, "version": __version__, "busy": server.lock.locked()}

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": [_model(server)]}

    @app.get("/v1/models/{name:path}")
    def model(name: str) -> Response:
        if name != engine.name:
            return _error(404, f"there is no model '{name}'", "model_not_found")
        return JSONResponse(_model(server))

    @app.post("/v1/chat/completions")
    async def chat(request: ChatRequest, http: HttpRequest) -> Response:
        return await _respond(server, request, http, lambda: server.messages(request), CHAT)

    @app.post("/v1/completions")
    async def text(request: TextRequest, http: HttpRequest) -> Response:
        return await _respond(server, request, http, lambda: request.text, TEXT)

    @app.post("/v1/embeddings")
    async def vectors(request: VectorRequest) -> Response:
        if server.waiting >= MAX_WAITING:
            return _error(503, "too many requests are waiting for the model", "busy", {"Retry-After": "5"})
        server.waiting += 1
        try:
            return JSONResponse(await asyncio.to_thread(_vectors, server, request))
        finally:
            server.waiting -= 1

    return Guard(app, token, hosts, origins, open_to_network)


def _vectors(server: Server, request: VectorRequest) -> dict[str, Any]:
    """A vector for each text, as numbers or as their bytes in base64. Raises UsageError for a model that makes none."""
    texts = request.texts
    if not isinstance(server.engine, Embedder):
        raise UsageError(
            f"{server.engine.name} makes no vectors of texts", "Train one that does: endonym train heads --head embed"
        )
    with server.lock:
        found, number = server.engine.embed(texts)
    plain = request.encoding_format == "float"
    data = [
        {"object": "embedding", "index": n, "embedding": vector if plain else b64encode(pack(f"<{len(vector)}f", *vector)).decode()}
        for n, vector in enumerate(found)
    ]  # fmt: skip
    usage = {"prompt_tokens": number, "total_tokens": number}
    return {"object": "list", "data": data, "model": server.engine.name, "usage": usage}


@dataclass(frozen=True)
class Shape:
    """How one kind of completion writes its text."""

    prefix: str
    whole: str
    part: str
    choice: Callable[[str], dict[str, Any]]
    first: dict[str, Any] | None
    delta: Callable[[str], dict[str, Any]]


CHAT = Shape(
    "chatcmpl",
    "chat.completion",
    "chat.completion.chunk",
    lambda text: {"message": {"role": "assistant", "content": text, "refusal": None}},
    {"delta": {"role": "assistant", "content": ""}},
    lambda text: {"delta": {"content": text} if text else {}},
)
TEXT = Shape(
    "cmpl", "text_completion", "text_completion", lambda text: {"text": text}, None, lambda text: {"text": text}
)


async def _respond(
    server: Server, request: Request, http: HttpRequest, asked: Callable[[], tuple[Message, ...] | str], shape: Shape
) -> Response:
    request.refuse()
    if server.waiting >= MAX_WAITING:
        return _error(503, "too many requests are waiting for the model", "busy", {"Retry-After": "5"})
    ids, params = await asyncio.to_thread(lambda: server.prepare(asked(), request))
    return await reply(server.pieces(ids, params, request.stops, http), request, server.engine.name, shape)


async def reply(pieces: AsyncGenerator[str | Answer, None], request: Request, name: str, shape: Shape) -> Response:
    """What model `name` says, whole or streamed as the request asks for it."""
    head = {"id": f"{shape.prefix}-{secrets.token_hex(12)}", "created": int(time.time()), "model": name}
    if request.stream:
        usage = bool(request.stream_options and request.stream_options.include_usage)
        events = _events(pieces, {**head, "object": shape.part}, shape, usage)
        return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
    text, answer = "", None
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, Answer):
                answer = piece
            else:
                text += piece
    if answer is None:
        return Response(status_code=499)
    choice = {"index": 0, **shape.choice(text), "logprobs": None, "finish_reason": answer.finish}
    return JSONResponse({**head, "object": shape.whole, "choices": [choice], "usage": _usage(answer)})


async def _events(
    pieces: AsyncGenerator[str | Answer, None], head: dict[str, Any], shape: Shape, usage: bool
) -> AsyncGenerator[bytes, None]:
    def event(data: dict[str, Any]) -> bytes:
        return f"data: {one_line(data)}\n\n".encode()

    def chunk(change: dict[str, Any], finish: str | None = None) -> bytes:
        return event({**head, "choices": [{"index": 0, **change, "logprobs": None, "finish_reason": finish}]})

    if shape.first:
        yield chunk(shape.first)
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                if isinstance(piece, Answer):
                    yield chunk(shape.delta(""), piece.finish)
                    if usage:
                        yield event({**head, "choices": [], "usage": _usage(piece)})
                else:
                    yield chunk(shape.delta(piece))
    except Exception as error:  # the stream has begun, so the error can only be told inside it
        yield event(_error_body(_words(error), "server_error"))
    yield b"data: [DONE]\n\n"


def _usage(answer: Answer) -> dict[str, int]:
    total = answer.prompt_tokens + answer.completion_tokens
    return {"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.completion_tokens, "total_tokens": total}


def _model(server: Server) -> dict[str, Any]:
    return {"id": server.engine.name, "object": "model", "created": server.started, "owned_by": "endonym"}


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(EndonymError)
    async def on_ours(request: HttpRequest, error: EndonymError) -> Response:
        return _error(400 if isinstance(error, UsageError) else 500, _words(error), type(error).__name__)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: HttpRequest, error: RequestValidationError) -> Response:
        said = [f"{'.'.join(str(p) for p in e['loc'] if p != 'body') or 'body'}: {e['msg']}" for e in error.errors()]
        return _error(400, "; ".join(said), "invalid_request")

    @app.exception_handler(HTTPException)
    async def on_http(request: HttpRequest, error: HTTPException) -> Response:
        return _error(
            error.status_code, str(error.detail), "not_found" if error.status_code == 404 else "invalid_request"
        )

    @app.exception_handler(Exception)
    async def on_any(request: HttpRequest, error: Exception) -> Response:
        return _error(500, _words(error), "server_error")


def _words(error: BaseException) -> str:
    if isinstance(error, EndonymError):
        return f"{error.message}. {error.hint}".strip()
    return f"{type(error).__name__} while generating; the server's log says more"


def _error_body(message: str, code: str, status: int = 500) -> dict[str, Any]:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _error(status: int, message: str, code: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(_error_body(message, code, status), status, headers)
