"""The server speaks to the official `openai` client, answers nobody without the token, and never sends half a character."""

from __future__ import annotations

import http.client
import json
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
import uvicorn

from endonym.errors import UsageError
from endonym.models import generate as generation
from endonym.models.render import Renderer
from endonym.serve import run as stage
from endonym.serve.answer import Answer, Params, until
from endonym.serve.backends import transformers as backend
from endonym.serve.guard import MAX_BODY_BYTES, project_token
from endonym.serve.openai import create_app
from endonym.types import Message

TOKEN = "t" * 43
ROUTES = (
    "/health",
    "/v1/models",
    "/v1/models/tiny",
    "/v1/chat/completions",
    "/v1/completions",
    "/docs",
    "/openapi.json",
    "/",
    "/no",
)


@dataclass
class Running:
    port: int
    server: uvicorn.Server

    def client(self, key: str = TOKEN) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key=key, max_retries=0, timeout=30)

    def ask(self, method: str, route: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.putrequest(method, route, skip_host=True, skip_accept_encoding=True)
        given = {"Host": f"127.0.0.1:{self.port}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        if body is not None:
            given = {"Content-Type": "application/json", "Content-Length": str(len(body)), **given}
        for name, value in given.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        found = response.status, response.read()
        connection.close()
        return found


def start(engine: Any, **settings: Any) -> Running:
    config = uvicorn.Config(
        create_app(engine, TOKEN, **settings), host="127.0.0.1", port=0, log_level="error", ws="none"
    )
    listening = config.bind_socket()
    server = uvicorn.Server(config)
    threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    return Running(listening.getsockname()[1], server)


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> Iterator[Running]:
    """The tiny model behind a real server; the task `translate` upper-cases so that one sees it at work."""

    def compose(task: str, text: str, direction: str) -> tuple[Message, ...]:
        if direction != "spa>tzh":
            raise UsageError(f"this model does not go '{direction}'", "It knows spa>tzh.")
        return (Message("user", f"{task} {direction}: {text.upper()}"),)

    running = start(backend.load(tiny_model, backend.Config(dtype="float32")), compose=compose)
    yield running
    running.server.should_exit = True


def test_the_openai_client_lists_chats_streams_and_completes(tiny: Running):
    client = tiny.client()
    assert [m.id for m in client.models.list()] == ["tiny"]
    chat: list[Any] = [{"role": "user", "content": "hola"}]
    whole = client.chat.completions.create(model="tiny", messages=chat, max_tokens=12)
    assert whole.usage.prompt_tokens > 3
    assert 1 <= whole.usage.completion_tokens <= 12
    assert whole.choices[0].finish_reason in ("stop", "length")
    options: Any = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(model="tiny", messages=chat, max_tokens=12, stream=True, stream_options=options)
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    text = client.completions.create(model="tiny", prompt="Ya jk'an", max_tokens=5)
    streamed = client.completions.create(model="tiny", prompt="Ya jk'an", max_tokens=5, stream=True)
    assert "".join(c.choices[0].text for c in streamed) == text.choices[0].text
    assert text.usage.completion_tokens <= 5


def test_a_chat_is_answered_as_the_model_answers_without_a_server(tiny: Running, tiny_model: Path):
    engine = backend.load(tiny_model, backend.Config(dtype="float32"))
    expected = generation.generate_batch(
        engine.loaded, [engine.encode([Message("user", "ሰላም")])], generation.Sampling(max_new_tokens=10)
    )[0][0]
    answer = tiny.client().chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "ሰላም"}], max_completion_tokens=10
    )
    assert (answer.choices[0].message.content or "").strip() == expected


def test_seed_and_temperature_decide(tiny: Running):
    def ask(seed: int) -> str:
        chat: Any = [{"role": "user", "content": "x"}]
        made = tiny.client().chat.completions.create(
            model="tiny", messages=chat, max_tokens=12, temperature=1.5, seed=seed
        )
        return made.choices[0].message.content or ""

    assert ask(1) == ask(1)
    assert len({ask(seed) for seed in range(5)}) > 1


def test_a_task_is_asked_with_the_prompt_of_training(tiny: Running):
    client = tiny.client()
    task = {"endonym": {"task": "translate", "direction": "spa>tzh"}}
    chat: Any = [{"role": "system", "content": "ignored"}, {"role": "user", "content": "agua"}]
    composed: Any = [{"role": "user", "content": "translate spa>tzh: AGUA"}]
    with_task = client.chat.completions.create(model="tiny", messages=chat, max_tokens=8, extra_body=task)
    by_hand = client.chat.completions.create(model="tiny", messages=composed, max_tokens=8)
    assert with_task.usage.prompt_tokens == by_hand.usage.prompt_tokens
    assert with_task.choices[0].message.content == by_hand.choices[0].message.content
    wrong = {"endonym": {"task": "translate", "direction": "spa>xxx"}}
    with pytest.raises(openai.BadRequestError, match="It knows spa>tzh"):
        client.chat.completions.create(model="tiny", messages=chat, extra_body=wrong)


@pytest.mark.parametrize(
    "extra",
    [{"n": 2}, {"logprobs": True}, {"tools": [{"type": "function"}]}, {"response_format": {"type": "json_object"}}],
)
def test_what_is_not_done_is_refused_and_not_ignored(tiny: Running, extra: dict[str, Any]):
    with pytest.raises(openai.BadRequestError, match="is not supported here"):
        tiny.client().chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "x"}], extra_body=extra
        )


def test_a_prompt_longer_than_the_context_is_a_clear_error(tiny: Running):
    with pytest.raises(openai.BadRequestError, match="the model takes 1024"):
        tiny.client().chat.completions.create(model="tiny", messages=[{"role": "user", "content": "x" * 9000}])


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"messages": []}', b'{"messages": [{"role": "user", "content": 3}]}', b"\xff"]
)
def test_bad_bodies_get_an_openai_error(tiny: Running, body: bytes):
    status, answer = tiny.ask("POST", "/v1/chat/completions", body, Authorization=f"Bearer {TOKEN}")
    assert status == 400
    assert set(json.loads(answer)["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_no_route_answers_without_the_token(tiny: Running, route: str, method: str):
    for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": "Bearer "}):
        status, answer = tiny.ask(method, route, **header)
        assert status == 401
        assert b"tiny" not in answer


def test_a_wrong_key_is_an_authentication_error(tiny: Running):
    with pytest.raises(openai.AuthenticationError):
        tiny.client("wrong").models.list()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost@evil.example", "10.0.0.1"]
)
def test_a_foreign_host_is_turned_away_even_with_the_token(tiny: Running, host: str):
    for route in ROUTES:
        assert tiny.ask("GET", route, Host=host, Authorization=f"Bearer {TOKEN}")[0] in (400, 421)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost.evil.example", "file://", "chrome-extension://x"]
)
def test_a_foreign_web_page_is_turned_away_even_with_the_token(tiny: Running, origin: str):
    assert tiny.ask("GET", "/v1/models", Origin=origin, Authorization=f"Bearer {TOKEN}")[0] == 403


def test_a_body_that_is_too_large_is_refused(tiny: Running):
    status, _ = tiny.ask(
        "POST", "/v1/completions", b"{}", Authorization=f"Bearer {TOKEN}", Content_Length=str(MAX_BODY_BYTES + 1)
    )
    assert status == 413


def test_the_token_is_random_and_only_the_owners(tmp_path: Path):
    token, path, is_new = project_token(tmp_path)
    assert is_new
    assert len(token) >= 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert project_token(tmp_path) == (token, path, False)
    (tmp_path / "other").mkdir()
    assert project_token(tmp_path / "other")[0] != token


def test_the_network_is_not_let_in_without_a_chosen_token(tmp_path: Path):
    for host in ("0.0.0.0", "::", "192.168.1.5"):
        with pytest.raises(UsageError, match="no --token"):
            stage.serve(None, "transformers", stage.Config(host=host))  # type: ignore[arg-type]


class Scripted:
    """An engine that says what it is told, slowly enough to be interrupted."""

    name, context = "scripted", 1000

    def __init__(self, pieces: Sequence[str], delay: float = 0.0):
        self.script, self.delay, self.said, self.running, self.most = pieces, delay, 0, 0, 0

    def encode(self, asked: Any) -> list[int]:
        return [1, 2, 3]

    def generate(self, asked: Any, params: Params, cancelled: Callable[[], bool] = lambda: False) -> Answer:
        answer = Answer((), 3)

        def pieces() -> Iterator[str]:
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                for piece in self.script:
                    if cancelled():
                        return
                    time.sleep(self.delay)
                    answer.completion_tokens += 1
                    self.said += 1
                    yield piece
            finally:
                self.running -= 1

        answer.pieces = pieces()
        return answer

    def close(self) -> None: ...


def test_a_client_that_goes_away_stops_the_generation_and_one_answer_is_made_at_a_time():
    engine = Scripted(["word "] * 400, delay=0.01)
    running = start(engine)
    stream = running.client().completions.create(model="scripted", prompt="x", stream=True)
    next(iter(stream))
    stream.close()
    for _ in range(200):
        if not engine.running:
            break
        time.sleep(0.02)
    assert not engine.running
    assert engine.said < 300
    answer = running.client().completions.create(model="scripted", prompt="x", stop=["d w"])
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("wor", "stop")
    assert not engine.running
    engine.script = ["a", "b"]
    threads = [
        threading.Thread(target=lambda: running.client().completions.create(model="scripted", prompt="x"))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert engine.most == 1
    running.server.should_exit = True


def test_stop_texts_end_the_answer_also_across_pieces_and_are_never_shown():
    def cut(pieces: list[str], stops: list[str]) -> str:
        return "".join(until(Answer(pieces, 0), stops))

    assert cut(["ab", "c\nUs", "er", ": x"], ["\nUser:"]) == "abc"
    assert cut(["ab", "c\nUs", "ual"], ["\nUser:"]) == "abc\nUsual"
    assert cut(["x።", "y"], ["።"]) == "x"
    assert cut(["aab"], ["ab", "aa"]) == ""
    assert cut(["abc\nUs"], ["\nUser:"]) == "abc\nUs"


@pytest.mark.parametrize("text", ["ሰላም ለዓለም፡ እንዴት ነህ።", "🌍👩🏽‍🌾 ok 🇪🇹", "नमस्ते क्ष", "Ma’yuk jk'an"])
def test_characters_split_across_tokens_arrive_whole(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, text: str):
    engine = backend.load(tiny_model, backend.Config(dtype="float32"))
    ids = one_byte_tokens(engine.loaded.renderer, text)
    assert len(ids) == len(text.encode())
    monkeypatch.setattr(generation, "stream", lambda *given: iter(ids))
    answer = engine.generate("x", Params(max_tokens=500))
    pieces = list(answer)
    assert "".join(pieces) == text
    assert all("\ufffd" not in piece for piece in pieces)
    assert len(pieces) == len(text)
    assert answer.completion_tokens == len(ids)


def one_byte_tokens(renderer: Renderer, text: str) -> list[int]:
    """Ids of `text` written one byte a token, the worst a byte-level tokenizer can do."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    table = bytes_to_unicode()
    return [renderer.tokenizer.convert_tokens_to_ids(table[byte]) for byte in text.encode()]


def test_a_gguf_file_is_served_with_the_same_words_and_counts(tiny_model: Path, tmp_path: Path):
    from endonym.export.formats import gguf
    from endonym.export.source import Source
    from endonym.serve.backends import llama_cpp

    trained = backend.load(tiny_model, backend.Config(dtype="float32"))
    (tmp_path / "model.json").write_text(json.dumps({"renderer": trained.loaded.renderer.hash}), encoding="utf-8")
    gguf.export(Source(trained.loaded, tmp_path, "tiny"), gguf.Config(type="f32"), tmp_path)
    engine = llama_cpp.load(tmp_path, llama_cpp.Config(context=512, threads=1))
    for asked in ([Message("user", "jk'an ሰላም १२")], "Ya jk'an", ""):
        assert engine.encode(asked) == trained.encode(asked)
        # llama.cpp writes an invalid byte sequence, which random weights produce, in its own way: compare what precedes one.
        ours, theirs = trained.generate(asked, Params(max_tokens=12)), engine.generate(asked, Params(max_tokens=12))
        assert "".join(theirs).partition("\ufffd")[0] == "".join(ours).partition("\ufffd")[0]
        assert (ours.completion_tokens, ours.finish) == (theirs.completion_tokens, theirs.finish)
    engine.close()
