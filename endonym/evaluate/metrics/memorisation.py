"""Memorisation: share of texts whose next 12 tokens the model repeats word for word, learned texts against unseen ones.

The model is given a question and the beginning of its answer, and goes on greedily; what counts is whether the next tokens are exactly
those of the text. Carlini and others, Quantifying Memorization Across Neural Language Models (ICLR 2023), with shorter texts. A share
on training texts above that on test texts of the same kinds is learning by heart. Twelve tokens are more text for one tokenizer
than for another: they are counted in the run's own tokens, and the next 48 characters are counted as well, which compare across
tokenizers. Only answers of at least 48 characters are used; where the 48 characters are fewer than 12 tokens, the text counts in
characters alone. Intervals are Wilson's (1927): a bootstrap of no hit at all would claim certainty.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from endonym.data.statistics import Floats, ratio, wilson
from endonym.evaluate.items import Item, Run, direction_of
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
    sides = {TRAIN: _by_sort(learned, cfg), TEST: _by_sort((item.chat for item in material.items), cfg)}
    shared = sorted(set(sides[TRAIN]) & set(sides[TEST]))
    room = cfg.texts
    # The rarest sort first, so that what it leaves free goes to the others.
    for left, sort in zip(
        range(len(shared), 0, -1), sorted(shared, key=lambda s: (len(sides[TEST][s]), s)), strict=True
    ):
        number = min(-(-room // left), *(len(side[sort]) for side in sides.values()))
        room -= number
        for name, side in sides.items():
            chats = side[sort]
            chats.sort(key=lambda c: hashlib.sha256(f"{material.seed}:{c.answer}".encode()).digest())
            for chat in chats[:number]:
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
    from endonym.models.generate import continue_batch

    renderer = loaded.renderer
    given, true = [], []
    for item in items:
        start, whole = renderer.answer_ids(item.source), renderer.answer_ids(item.chat.answer)
        joined = whole[: len(start)] == start
        given.append(start)
        true.append(whole[len(start) :] if joined else renderer.answer_ids(item.chat.answer[len(item.source) :]))
    # As many tokens as the true text needs for the characters; a model that repeats it spells it the same way.
    wanted = max(cfg.tokens, *(len(renderer.answer_ids(item.references[0])) + 2 for item in items))
    prompts = [renderer.prompt_ids(item.chat.prompt) + start for item, start in zip(items, given, strict=True)]
    answers = []
    for item, start, rest, made in zip(items, given, true, continue_batch(loaded, prompts, wanted), strict=True):
        long = len(rest) >= cfg.tokens
        same = long and made[: cfg.tokens] == rest[: cfg.tokens]
        text = renderer.decode([*start, *made])
        spelt = text.startswith(item.source + item.references[0])
        counts = [float(same), float(long), float(spelt), 1.0]
        answers.append({"text": text[len(item.source) :], "counts": counts})
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


def _by_sort(chats: Iterable[Chat], cfg: Config) -> dict[tuple[str, str], list[Chat]]:
    """Chats with enough answer by task and direction, each answer once."""
    found: dict[tuple[str, str], dict[str, Chat]] = {}
    for chat in chats:
        if cut(chat, cfg.characters) is not None:
            found.setdefault((chat.task, direction_of(chat)), {}).setdefault(chat.answer, chat)
    return {sort: list(group.values()) for sort, group in found.items()}
