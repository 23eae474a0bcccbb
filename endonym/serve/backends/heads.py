"""Serve a head: the answer to a message is its class, its words with their tags, what answers its last paragraph, or its vector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from endonym.serve.answer import Answer, Params
from endonym.types import Message

if TYPE_CHECKING:
    from endonym.models.heads import Asked, Judge

REQUIRES = {"torch": "train", "transformers": "train"}


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def load(model: Path, cfg: Config) -> HeadEngine:
    """Load a run's output, or an export. Raises UsageError for a model that has no head."""
    from endonym.models.heads import load_judge

    return HeadEngine(load_judge(model), model.name)


class HeadEngine:
    """A model with a head, which judges the last message of a chat whatever came before."""

    def __init__(self, judge: Judge, name: str):
        self.judge = judge
        self.name = name
        self.context = int(judge.config.foundation.get("max_position_embeddings", 2048))

    def encode(self, asked: Sequence[Message] | str) -> list[int]:
        """The token ids of what is judged."""
        return self.judge.read(self._asked(asked)).ids

    def generate(
        self, asked: Sequence[Message] | str | list[int], params: Params, cancelled: Callable[[], bool] = lambda: False
    ) -> Answer:
        """What the head says, in words, as a whole; of token ids that of their text."""
        from endonym.models.heads import in_words

        if isinstance(asked, list) and any(isinstance(one, int) for one in asked):
            asked = self.judge.renderer.decode([one for one in asked if isinstance(one, int)])
        given = asked if isinstance(asked, str) else [one for one in asked if isinstance(one, Message)]
        what = self._asked(given)
        return Answer((in_words(self.judge.judge([what])[0]),), len(self.judge.read(what).ids), 1)

    def _asked(self, asked: Sequence[Message] | str) -> Asked:
        """The text to judge; where an answer is looked for, what stands in the last paragraph is the question, as in training."""
        from endonym.models.heads import Asked

        users = [asked] if isinstance(asked, str) else [m.content for m in asked if m.role == "user"]
        text = users[-1] if users else ""
        if self.judge.config.kind != "answer":
            return Asked(text)
        context, _, question = text.rstrip().rpartition("\n\n")
        return Asked(context, question)

    def embed(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        """A vector of length 1 for each text, and how many tokens were read. Raises UsageError for a head of another kind, and for a
        text that is too long."""
        from endonym.errors import UsageError
        from endonym.models.heads import Asked

        if self.judge.config.kind != "embed":
            kind = self.judge.config.kind
            raise UsageError(
                f"{self.name} has a head that makes no vectors ({kind})", "Train: endonym train heads --head embed"
            )
        readings = [self.judge.read(Asked(text)) for text in texts]
        lengths = [len(reading.ids) for reading in readings]
        if max(lengths) > self.context:
            longest = lengths.index(max(lengths))
            raise UsageError(
                f"text {longest + 1} has {lengths[longest]} tokens, the model takes {self.context}", "Shorten it."
            )
        return [vector.tolist() for vector in self.judge.logits(readings)], sum(lengths)

    def close(self) -> None:
        """Nothing to free: the process ends with the server."""
