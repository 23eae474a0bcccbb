"""A trained model with the texts it learned from, held-out ones of the same sorts, and samples of what it writes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from endonym import plugins
from endonym.data.dataset import Dataset
from endonym.data.portion import alike, portion
from endonym.data.statistics import Floats
from endonym.errors import MissingError
from endonym.store.files import whole_lines
from endonym.types import Chat

if TYPE_CHECKING:
    from endonym.jobs.job import Job
    from endonym.models.load import Loaded

TRAIN, HELD = "train", "held out"
AT_ONCE = 32
"""Texts put to the model between two looks at the wish to stop."""


class Stopped(Exception):  # noqa: N818
    """The user asked to stop while a probe was at work."""


@dataclass(frozen=True)
class Wished:
    """How many samples of the model's own writing are taken, and how."""

    number: int
    num_bytes: int
    temperature: float
    top_p: float


class Subject:
    """What is diagnosed. Held out are the validation texts: the sealed test stays sealed."""

    def __init__(self, folder: Path, job: Job, wished: Wished, seed: int):
        self.folder, self.job, self.wished, self.seed = folder, job, wished, seed
        self.about: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        self.settings: dict[str, Any] = self.about.get("settings", {})
        chats = job.project.ancestry(folder).get("chats")
        if chats is None:
            raise MissingError("the chats this model was trained on are not there any more", "Train it again.")
        self.chats = Dataset(chats, job.verb)

    @cached_property
    def loaded(self) -> Loaded:
        """The model, loaded when it is first asked."""
        from endonym.models.load import load_artifact

        return load_artifact(self.folder)

    @cached_property
    def texts(self) -> dict[str, list[Chat]]:
        """Chats by side: those the run learned from, and the held-out ones; of the tasks that its recipe learns."""
        recipe = plugins.load("recipe", str(self.about["recipe"]), self.job.project.path)
        tasks = getattr(recipe, "TASKS", ())
        share, seed = float(self.settings.get("data_share", 1)), int(self.settings.get("seed", 0))

        def of(split: str) -> list[Chat]:
            rows = (row for row in self.chats.records(split) if isinstance(row, Chat))
            return [row for row in rows if row.answer and row.weight > 0 and (not tasks or row.task in tasks)]

        return {TRAIN: portion(of("train"), share, seed), HELD: of("valid")}

    def rows(self, number: int, fits: Callable[[Chat], bool] = lambda chat: True) -> dict[str, list[Chat]]:
        """As many rows that fit of each task and direction from both sides, at most `number` a side, as training saw them.

        Of plain text longer than a row one part is taken, by lot, among those that fit.
        """
        longest = int(self.settings.get("max_length", 1024))
        drawn = alike(self.texts, number, self.seed, fits)
        parts = {side: [self._part(chat, longest, fits) for chat in chats] for side, chats in drawn.items()}
        return {side: [chat for chat in chats if chat is not None] for side, chats in parts.items()}

    def _part(self, chat: Chat, longest: int, fits: Callable[[Chat], bool]) -> Chat | None:
        from endonym.models.pieces import pieces

        found = [part for part, row in pieces(chat, self.loaded.renderer, longest) if len(row.ids) <= longest]
        found = [part for part in found if fits(part)]
        return replace(found[self.lot(chat.id) % len(found)], id=chat.id) if found else None

    def lot(self, name: str) -> int:
        """A number that depends on the seed and the name alone."""
        return int.from_bytes(hashlib.sha256(f"{self.seed}:{name}".encode()).digest()[:8])

    def bits(self, chats: Sequence[Chat], loaded: Loaded | None = None) -> Floats:
        """Bits the model, or the one that is given, needs for each answer, and its UTF-8 bytes: `[chats, 2]`. Raises Stopped."""
        from endonym.models.generate import answer_nll

        found: list[tuple[float, float]] = []
        for start in range(0, len(chats), AT_ONCE):
            self.go_on()
            found += answer_nll(loaded or self.loaded, chats[start : start + AT_ONCE])
        table = np.asarray(found, dtype=np.float64).reshape(len(found), 2)
        table[:, 0] /= np.log(2)
        return table

    def bytes_per_token(self, name: str) -> float:
        """UTF-8 bytes of a token in what the run measured as `name` (`loss`, `valid_loss`); 0 where it did not record them."""
        return float(self.about.get("bytes_per_token", {}).get(name, 0))

    def go_on(self) -> None:
        """Raise Stopped when the user asked to stop."""
        if self.job.cancelled():
            raise Stopped

    @cached_property
    def samples(self) -> list[tuple[str, str]]:
        """What the model writes, each beside a held-out text of the same sort cut to the same length; kept in `samples.jsonl`.

        To questions of held-out chats where the model learned to answer, and from nothing where it learned to go on writing.
        """
        file = self.job.output / "samples.jsonl"
        if not file.is_file():
            written = [{"prompt": p, "text": t, "held_out": h} for p, t, h in self._written()]
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in written]
            file.write_text("".join(lines), encoding="utf-8")
        return [(row["text"], row["held_out"]) for row in map(json.loads, whole_lines(file))]

    def _written(self) -> list[tuple[str, str, str]]:
        from endonym.models.generate import Sampling, generate_batch

        wished = self.wished
        num_tokens = math.ceil(wished.num_bytes / (self.bytes_per_token("loss") or 1.0))
        rows = self.rows(wished.number)[HELD]
        prompts = [self.loaded.renderer.prompt_ids(chat.prompt) for chat in rows]
        texts: list[str] = []
        for start in range(0, len(prompts), AT_ONCE):
            self.go_on()
            # The random numbers of a batch begin anew: without another seed, equal prompts would get equal samples.
            how = Sampling(num_tokens, wished.temperature, wished.top_p, self.seed + start)
            texts += [one for one, *_ in generate_batch(self.loaded, prompts[start : start + AT_ONCE], how)]
        said = ["\n\n".join(message.content for message in chat.prompt) for chat in rows]
        pairs = [(prompt, text, chat.answer) for prompt, text, chat in zip(said, texts, rows, strict=True) if text]
        sizes = [min(len(text.encode()), len(held.encode())) for _, text, held in pairs]
        return [(p, clipped(t, size), clipped(h, size)) for (p, t, h), size in zip(pairs, sizes, strict=True)]


def clipped(text: str, size: int) -> str:
    """The beginning of a text, in at most `size` UTF-8 bytes of whole characters."""
    return text.encode()[:size].decode(errors="ignore")
