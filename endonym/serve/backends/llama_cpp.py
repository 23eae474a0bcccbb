"""Serve an exported GGUF file with llama.cpp: less memory, and faster on a computer without GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.errors import MissingError
from endonym.models.llama_cpp import LlamaCpp
from endonym.serve.answer import Answer, Params
from endonym.types import Message

REQUIRES = {"xllamacpp": "gguf"}
EXPORT = ("gguf", "*.gguf")
"""The export format it serves, and which file of it."""


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    context: int = Field(2048, ge=64, description="Most tokens prompt and answer may have together.")
    threads: int = Field(0, ge=0, description="Processor threads; 0 for all.")


def load(model: Path, cfg: Config) -> LlamaCppEngine:
    """Load a GGUF file, or the one in an `export` artifact. Raises MissingError when there is none."""
    files = [model] if model.is_file() else sorted(model.glob("*.gguf"))
    if not files:
        raise MissingError(f"{model} holds no GGUF file", "Make one with: endonym export gguf")
    return LlamaCppEngine(LlamaCpp(files[0], cfg.context, cfg.threads), files[0].stem, cfg.context)


class LlamaCppEngine:
    """A model in llama.cpp."""

    def __init__(self, engine: LlamaCpp, name: str, context: int):
        self.engine = engine
        self.name = name
        self.context = context

    def encode(self, asked: Sequence[Message] | str) -> list[int]:
        """Ids of a chat by the template in the file; plain text begins as in training, with the start-of-text token."""
        if not isinstance(asked, str):
            return self.engine.tokenize(self.engine.prompt(asked))
        start, ids = self.engine.start_ids(), self.engine.tokenize(asked, special=True)
        return ids if ids[: len(start)] == start else start + ids

    def generate(
        self, asked: Sequence[Message] | str | list[int], params: Params, cancelled: Callable[[], bool] = lambda: False
    ) -> Answer:
        """Start an answer; llama.cpp itself holds back incomplete characters."""
        ids = [i for i in asked if isinstance(i, int)] if isinstance(asked, list) else []
        prompt = ids or self.encode(
            [m for m in asked if isinstance(m, Message)] if not isinstance(asked, str) else asked
        )
        answer = Answer((), len(prompt))
        # What chooses the token is what does in the other backend, in its order; llama.cpp's own further samplers are off.
        settings: dict[str, Any] = {
            "n_predict": params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "top_k": params.top_k,
            "min_p": params.min_p,
            "repeat_penalty": params.repetition_penalty,
            "repeat_last_n": 64,
        }
        settings |= {"seed": params.seed, "cache_prompt": True}
        settings["samplers"] = ["penalties", "temperature", "min_p", "top_p", "top_k"]

        def pieces() -> Iterator[str]:
            for event in self.engine.complete(prompt, **settings):
                answer.completion_tokens = int(event.get("tokens_predicted", answer.completion_tokens + 1))
                if event.get("stop") and event.get("stop_type") == "limit":
                    answer.finish = "length"
                if event["content"]:
                    yield event["content"]
                if cancelled():
                    return

        answer.pieces = pieces()
        return answer

    def close(self) -> None:
        """Free the model."""
        self.engine.close()
