"""Memorisation: share of texts whose next 12 tokens the model repeats word for word, learned texts against unseen ones.

The model is given a question and the beginning of its answer, and goes on greedily; what counts is whether the next tokens are exactly
those of the text. Carlini and others, Quantifying Memorization Across Neural Language Models (ICLR 2023), with shorter texts. A share
on training texts above that on test texts of the same kinds is learning by heart. Twelve tokens are more text for one tokenizer
than for another: they are counted in the run's own tokens, and the next 48 characters are counted as well, which compare across
tokenizers. Only answers of at least 48 characters are used; where the 48 characters are fewer than 12 tokens, the text counts in
characters alone. Intervals are Wilson's (1927): a bootstrap of no hit at all would claim certainty.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.data.portion import alike
from endonym.data.statistics import Floats, ratio, wilson
from endonym.evaluate.items import Item, Run
from endonym.types import Chat, Score, record_id

if TYPE_CHECKING:
    from endonym.evaluate.own import Material
    from endonym.models.load import Loaded

NEEDS = "continuations"
"""Asks in its own way: no answer has to be generated for it."""
TASKS = ("memorisation",)
TRAIN, TEST = "train", "test"


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    texts: int = Field(24, ge=1, description="Texts of the training and as many of the test, drawn with the seed.")
    tokens: int = Field(12, ge=1, description="Tokens that must be repeated exactly.")
    characters: int = Field(48, ge=1, description="Characters that must be repeated exactly, for any tokenizer.")


def questions(material: Material, cfg: Config) -> Iterator[Item]:
    """Texts of training and test, as many of each task and direction from both sides."""
    learned = (chat for chat in material.chats.records("train") if isinstance(chat, Chat) and chat.weight > 0)
    sides = {TRAIN: learned, TEST: (item.chat for item in material.items)}
    for name, chats in alike(sides, cfg.texts, material.seed, lambda c: cut(c, cfg.characters) is not None).items():
        for chat in chats:
            at = cut(chat, cfg.characters)
            assert at is not None
            rest = chat.answer[at : at + cfg.characters]
            yield Item(record_id(name, chat.task, chat.id), "memorisation", name, chat.answer[:at], (rest,), chat)


def cut(chat: Chat, characters: int) -> int | None:
    """Where the given part of an answer ends: at the last start of a word in its first half that leaves `characters` behind it.

    None when too little text is left, or nothing at all would be given.
    """
    latest = min(len(chat.answer) // 2, len(chat.answer) - characters)
    starts = [i for i in range(1, latest + 1) if chat.answer[i].isspace() and not chat.answer[i - 1].isspace()]
    if starts:
        return starts[-1]
    return 0 if latest >= 0 and chat.prompt else None


def ask(loaded: Loaded, items: list[Item], cfg: Config) -> list[dict[str, Any]]:
    """Let a model go on; `counts` are hits and trials, by tokens and by characters."""
    from endonym.models.recall import Cut, go_on

    renderer = loaded.renderer
    true = []
    for item in items:
        start, whole = renderer.answer_ids(item.source), renderer.answer_ids(item.chat.answer)
        joined = whole[: len(start)] == start
        true.append(whole[len(start) :] if joined else renderer.answer_ids(item.chat.answer[len(item.source) :]))
    cuts = [Cut(item.chat.prompt, item.source, item.references[0]) for item in items]
    answers = []
    for item, rest, (text, made) in zip(items, true, go_on(loaded, cuts, cfg.tokens), strict=True):
        long = len(rest) >= cfg.tokens
        same = long and made[: cfg.tokens] == rest[: cfg.tokens]
        counts = [float(same), float(long), float(text.startswith(item.references[0])), 1.0]
        answers.append({"text": text, "counts": counts})
    return answers


def aggregate(sums: Floats) -> Floats:
    """Hits over trials of summed `[..., 2]`, in percent."""
    return 100 * ratio(sums)


def score(run: Run, cfg: Config) -> list[Score]:
    """Score `run` by tokens and by characters; nothing for a system that was not asked to go on."""
    if not run.ids or any(row is None for row in run.counts):
        return []
    counts = np.asarray(run.counts, dtype=np.float64)
    found = []
    for unit, size, stats in (("tokens", cfg.tokens, counts[:, :2]), ("characters", cfg.characters, counts[:, 2:])):
        hits, trials = stats.sum(axis=0)
        if not trials:
            continue
        low, high = wilson(hits, trials)
        signature = f"memorisation|{unit}:{size}|greedy|interval:wilson|v:1"
        value = float(aggregate(stats.sum(axis=0)))
        name = f"{size} {unit} repeated, %"
        per_item = tuple(stats.ravel().tolist())
        found.append(Score(name, value, 100 * low, 100 * high, signature, int(trials), False, per_item))
    return found
