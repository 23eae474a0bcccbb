"""Serve the trained model as it was trained: base weights and adapter in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym.serve.answer import Answer, Params
from endonym.types import Message

if TYPE_CHECKING:
    from endonym.models.load import Loaded

REQUIRES = {"torch": "train", "transformers": "train"}


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Number format; auto takes the faster one."
    )


def load(model: Path, cfg: Config) -> TransformersEngine:
    """Load a `model` artifact, a merged export or any Hugging Face folder."""
    from endonym.models.load import load_artifact, load_model

    loaded = load_artifact(model, cfg.dtype) if (model / "model.json").is_file() else load_model(model, dtype=cfg.dtype)
    return TransformersEngine(loaded, model.name)


class TransformersEngine:
    """A model in PyTorch."""

    def __init__(self, loaded: Loaded, name: str):
        from endonym.models.dialogue import Dialogues

        self.loaded = loaded
        self.name = name
        self._dialogues = Dialogues(loaded.model)
        self.context = int(getattr(loaded.model.config, "max_position_embeddings", 2048))

    def encode(self, asked: Sequence[Message] | str) -> list[int]:
        """Ids of a chat by the one renderer; plain text begins as in training, with the start-of-text token."""
        renderer = self.loaded.renderer
        if not isinstance(asked, str):
            return renderer.prompt_ids(asked)
        start, ids = renderer.prompt_ids([]), renderer.answer_ids(asked)
        return ids if ids[: len(start)] == start else start + ids

    def generate(
        self,
        asked: Sequence[Message] | str | list[int],
        params: Params,
        cancelled: Callable[[], bool] = lambda: False,
        file: Path | None = None,
    ) -> Answer:
        """Start an answer; what the model has read of the conversation is kept in memory, and in `file` where that is given."""
        from endonym.models import generate as generation

        ids = [i for i in asked if isinstance(i, int)] if isinstance(asked, list) else []
        prompt = ids or self.encode(
            [m for m in asked if isinstance(m, Message)] if not isinstance(asked, str) else asked
        )
        sampling = generation.Sampling(
            params.max_tokens, params.temperature, params.top_p, params.seed,
            top_k=params.top_k, min_p=params.min_p, repetition_penalty=params.repetition_penalty,
        )  # fmt: skip
        answer = Answer((), len(prompt))

        def tokens() -> Iterator[int]:
            for token in generation.stream(self.loaded, prompt, sampling, cancelled, self._dialogues, file):
                answer.completion_tokens += 1
                yield token
            if answer.completion_tokens >= params.max_tokens:
                answer.finish = "length"

        answer.pieces = generation.whole_characters(tokens(), self.loaded.renderer)
        return answer

    def close(self) -> None:
        """Nothing to free: the process ends with the server."""
