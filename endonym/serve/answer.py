"""What a backend gives back: an answer that is generated while it is read, with its token counts."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from endonym.types import Message


@dataclass(frozen=True)
class Params:
    """How one answer is generated; temperature 0 is greedy."""

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def within(self, room: int) -> Params:
        """The same with no more tokens than there is room for."""
        return replace(self, max_tokens=min(self.max_tokens, room))


@dataclass
class Answer:
    """Pieces of text, whole characters only, and what is known when they end."""

    pieces: Iterable[str]
    prompt_tokens: int
    completion_tokens: int = 0
    finish: str = "stop"
    """`stop`, or `length` when the token limit ended it."""

    def __iter__(self) -> Iterator[str]:
        return iter(self.pieces)

    def close(self) -> None:
        """Stop generating at once, also when pieces are left: a stop text was found, or nobody listens any more."""
        if isinstance(self.pieces, Generator):
            self.pieces.close()


class Engine(Protocol):
    """A loaded model, as a backend's `load` returns it."""

    name: str
    context: int
    """Most tokens prompt and answer may have together."""

    def encode(self, asked: Sequence[Message] | str) -> list[int]:
        """Token ids of a chat, or of plain text that is to be continued."""

    def generate(
        self, asked: Sequence[Message] | str | list[int], params: Params, cancelled: Callable[[], bool] = lambda: False
    ) -> Answer:
        """Start an answer; `cancelled` is asked before every token."""

    def close(self) -> None:
        """Free the model."""


@runtime_checkable
class Embedder(Engine, Protocol):
    """An engine that makes vectors of texts."""

    def embed(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        """A vector of length 1 for each text, and how many tokens were read. Raises UsageError where the loaded model makes no
        vectors, or for a text longer than its context."""


def until(answer: Answer, stops: Sequence[str]) -> Iterator[str]:
    """Pass the pieces on until one of `stops` appears; text that may be its beginning waits, and the stop is not shown."""
    held = ""
    for piece in answer:
        held += piece
        cut = min((at for at in (held.find(stop) for stop in stops) if at >= 0), default=-1)
        if cut >= 0:
            answer.finish = "stop"
            if held[:cut]:
                yield held[:cut]
            return
        keep = max((n for stop in stops for n in range(1, len(stop)) if held.endswith(stop[:n])), default=0)
        ready = held[: len(held) - keep]
        if ready:
            yield ready
            held = held[len(ready) :]
    if held:
        yield held
