"""The requests of the OpenAI interface that are understood, and a plain refusal of what would change the answer."""

from __future__ import annotations

import secrets
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym.errors import UsageError
from endonym.serve.answer import Params
from endonym.types import Message

NOT_DONE: dict[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "best_of": (None, 1),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "logprobs": (None, False, 0),
    "top_logprobs": (None, 0),
    "logit_bias": (None, {}),
    "response_format": (None, {"type": "text"}),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "echo": (None, False),
    "suffix": (None, ""),
    "modalities": (None, ["text"]),
}
"""Fields that would change the answer, with the values that do not; any other value is refused rather than ignored."""


class Part(BaseModel):
    type: Literal["text"]
    text: str


class Turn(BaseModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]

    def message(self) -> Message:
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return Message("system" if self.role == "developer" else self.role, text)


class TaskRequest(BaseModel):
    """Ask the last user text as a task of the project, with the hints and the prompt of training."""

    model_config = ConfigDict(extra="forbid")

    task: str = "translate"
    direction: str = Field(min_length=3)


class StreamOptions(BaseModel):
    include_usage: bool = False


class Request(BaseModel):
    """What both kinds of completion share. Unknown fields are kept, so that `refuse` can name them."""

    model_config = ConfigDict(extra="allow")

    model: str = ""
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int = Field(0, ge=0)
    min_p: float = Field(0.0, ge=0, le=1)
    repetition_penalty: float = Field(1.0, gt=0, le=10)
    seed: int | None = None
    stop: str | list[str] | None = None
    endonym: TaskRequest | None = None

    @property
    def stops(self) -> list[str]:
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [stop for stop in stops if stop]

    def refuse(self) -> None:
        """Raise UsageError when a field asks for something this server does not do."""
        for name, harmless in NOT_DONE.items():
            if (self.model_extra or {}).get(name) not in harmless:
                raise UsageError(f"'{name}' is not supported here", f"Leave '{name}' out.")
        if len(self.stops) > 16:
            raise UsageError("at most 16 stop texts are possible", "Give fewer.")

    def params(self, max_tokens: int, temperature: float) -> Params:
        """Generation settings, the server's defaults where the request names none; without seed, sampling is random."""
        seed = self.seed if self.seed is not None else secrets.randbelow(1 << 31)
        return Params(
            max_tokens=self.max_completion_tokens or self.max_tokens or max_tokens,
            temperature=self.temperature if self.temperature is not None else temperature,
            top_p=self.top_p if self.top_p is not None else 1.0,
            seed=seed & 0x7FFFFFFF,
            top_k=self.top_k,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
        )


class ChatRequest(Request):
    """Body of `/v1/chat/completions`."""

    messages: list[Turn] = Field(min_length=1)


class VectorRequest(BaseModel):
    """Body of `/v1/embeddings`."""

    model: str = ""
    input: str | list[str] = Field(min_length=1, max_length=2048)
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None

    @property
    def texts(self) -> list[str]:
        """The texts. Raises UsageError where vectors of another length are asked for."""
        if self.dimensions is not None:
            raise UsageError(
                "'dimensions' is not supported here: a vector has the length it was trained with", "Leave it out."
            )
        return [self.input] if isinstance(self.input, str) else self.input


class TextRequest(Request):
    """Body of `/v1/completions`."""

    prompt: str | list[str] = ""

    @property
    def text(self) -> str:
        """The one prompt. Raises UsageError for several."""
        if isinstance(self.prompt, str):
            return self.prompt
        if len(self.prompt) != 1:
            raise UsageError("one prompt a request is possible", "Send several requests.")
        return self.prompt[0]
