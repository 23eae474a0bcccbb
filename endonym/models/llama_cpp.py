"""Run a GGUF file in llama.cpp (through xllamacpp), for export certificates and for serving.

xllamacpp embeds llama.cpp's own server. It always listens on a loopback port, so it gets a random key that never leaves this
process; without it other users of the machine could ask the model.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from endonym.errors import MissingError
from endonym.types import Message

FORCE = 1e4
"""Added to one token's score so that it is the one sampled; llama.cpp reports probabilities from the untouched scores."""


class LlamaCpp:
    """A GGUF file loaded in llama.cpp; `close` frees it."""

    def __init__(self, path: Path, context: int = 2048, threads: int = 0):
        """Load `path`. Raises MissingError when xllamacpp is not installed or the file cannot be loaded."""
        try:
            import xllamacpp
        except ImportError as error:
            raise MissingError(
                "running a GGUF file needs the Python module 'xllamacpp'",
                "Install it with: pip install 'endonym[gguf]'",
            ) from error
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = context
        params.n_parallel = 1
        params.cpuparams.n_threads = threads or os.cpu_count() or 1
        # Waiting threads sleep instead of spinning, so that a busy machine does not crawl.
        params.cpuparams.poll = 0
        params.warmup = False
        params.verbosity = -1
        params.ui = False
        self._key = secrets.token_hex(32)
        params.api_keys = [self._key]
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise MissingError(
                f"llama.cpp cannot load {path.name}: {error}", "Export it again: endonym export gguf"
            ) from error
        address = urlsplit(self._server.listening_address)
        self._host, self._port = address.hostname or "127.0.0.1", address.port
        self._plain = self.tokenize("a")[0]

    def close(self) -> None:
        """Free the model."""
        self._server = None

    def prompt(self, messages: Sequence[Message]) -> str:
        """Render messages with the chat template stored in the file, by llama.cpp's own template engine."""
        data = self._post("/apply-template", {"messages": [{"role": m.role, "content": m.content} for m in messages]})
        return str(data["prompt"])

    def tokenize(self, text: str, special: bool = True) -> list[int]:
        """Token ids of `text`, as llama.cpp tokenises a prompt."""
        return list(
            self._post("/tokenize", {"content": text, "add_special": special, "parse_special": special})["tokens"]
        )

    def start_ids(self) -> list[int]:
        """The start-of-text token, empty when the file names none."""
        return self.tokenize(str(self._ask("GET", "/props").get("bos_token", "")))

    def ranked(self, ids: Sequence[int], wanted: int | None = None) -> list[tuple[int, float]]:
        """Most probable next tokens after `ids` with their log-probabilities; goes on until `wanted` is among them.

        A harmless whole-character token is forced as the sampled one, because llama.cpp reports nothing for a token that ends
        inside a character.
        """
        for count in (16, 1024, 1 << 20):
            body = {"prompt": list(ids), "n_predict": 1, "temperature": 0, "n_probs": count, "cache_prompt": True}
            body["logit_bias"] = [[self._plain, FORCE]]
            answer = self._post("/completion", body)["completion_probabilities"][0]
            ranked = [(int(t["id"]), float(t["logprob"])) for t in answer["top_logprobs"]]
            if wanted is None or any(token == wanted for token, _ in ranked):
                break
        return ranked

    def complete(self, prompt: str | Sequence[int], **settings: Any) -> Iterator[dict[str, Any]]:
        """Stream one completion; closing the iterator closes the connection, on which llama.cpp stops generating."""
        body = {"prompt": prompt if isinstance(prompt, str) else list(prompt), "stream": True, **settings}
        connection = self._connect()
        try:
            for line in self._send(connection, "/completion", body):
                if line.startswith(b"data: ") and line.strip() != b"data: [DONE]":
                    yield json.loads(line[6:])
        finally:
            connection.close()

    def _connect(self) -> HTTPConnection:
        return HTTPConnection(self._host, self._port, timeout=600)

    def _send(
        self, connection: HTTPConnection, route: str, body: dict[str, Any] | None, method: str = "POST"
    ) -> HTTPResponse:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        connection.request(method, route, json.dumps(body).encode() if body is not None else None, headers)
        response = connection.getresponse()
        if response.status != 200:
            raise MissingError(
                f"llama.cpp answers {response.status} to {route}: {response.read(400).decode(errors='replace')}",
                "Shorten the prompt, or raise the context length.",
            )
        return response

    def _post(self, route: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._ask("POST", route, body)

    def _ask(self, method: str, route: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        connection = self._connect()
        try:
            return dict(json.loads(self._send(connection, route, body, method).read()))
        finally:
            connection.close()
