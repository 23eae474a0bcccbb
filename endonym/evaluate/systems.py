"""The systems an evaluation asks: the untuned base, the tuned model, both with bare prompts if wished, and the baselines."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from endonym import plugins
from endonym.config import Layer, raise_problems, validate
from endonym.data.dataset import Dataset
from endonym.evaluate.items import Item, direction_of
from endonym.retrieve.context import draft_of
from endonym.types import Chat

if TYPE_CHECKING:
    from endonym.models.load import Loaded

Answers = Iterator[tuple[list[Item], list[dict[str, Any]]]]
"""Finished items with their answers, a chunk at a time, so that each chunk can be saved."""

BARE = " (no hints)"
MODELS = ("base", "tuned")
MOST_ROWS = 96
"""Answers generated side by side at most, whatever the samples: a bound on the memory of their attention caches."""


@dataclass(frozen=True)
class Asked:
    """How models are asked."""

    lengths: Mapping[tuple[str, str], int]
    """Longest training answer in characters, by task and direction."""
    max_new_tokens: int
    batch_size: int
    text_tasks: frozenset[str]
    """Tasks some metric needs the text of; the others are only given probabilities."""
    num_samples: Mapping[str, int]
    """By task, how many answers are sampled beside the greedy one; a task not named is answered greedily."""
    sample_temperature: float
    draft_votes: int
    """How often the draft in a prompt counts among the answers where samples are drawn."""
    cancelled: Callable[[], bool]


def chunks(items: list[Item], size: int, bare: bool) -> Iterator[list[Item]]:
    """Items in the parts they are asked in. Always the same parts, so that a resumed evaluation pads, and thus computes, as one
    that was never interrupted; items of similar length go together, so that little is padded.
    """

    def place(item: Item) -> tuple[str, str, int, str]:
        return item.task, item.direction, sum(len(m.content) for m in chat_of(item, bare).prompt), item.id

    for _, group in itertools.groupby(sorted(items, key=place), key=lambda item: (item.task, item.direction)):
        alike = list(group)
        for start in range(0, len(alike), size):
            yield alike[start : start + size]


def answer_lengths(chats: Dataset) -> dict[tuple[str, str], int]:
    """Longest training answer in characters, by task and direction."""
    longest: dict[tuple[str, str], int] = {}
    for chat in chats.records("train"):
        if isinstance(chat, Chat):
            key = (chat.task, direction_of(chat))
            longest[key] = max(longest.get(key, 0), len(chat.answer))
    return longest


def token_limit(loaded: Loaded, items: list[Item], asked: Asked) -> int:
    """Most tokens an answer to `items` may take: what the longest training answer of the kind would, at these items' rate.

    An untrained model often never stops; nothing it writes beyond that length could be right, and all models share the limit.
    """
    longest = asked.lengths.get((items[0].task, items[0].direction), 0)
    references = [item.references[0] for item in items]
    characters = sum(map(len, references))
    tokens = sum(len(loaded.renderer.answer_ids(text)) for text in references)
    return min(asked.max_new_tokens, math.ceil(longest * tokens / characters) + 8) if longest else asked.max_new_tokens


def ask_model(loaded: Loaded, items: list[Item], asked: Asked, bare: bool) -> list[dict[str, Any]]:
    """Let a model answer `items` of one task and direction, and say how probable the references are."""
    from endonym.models.consensus import answer_batch
    from endonym.models.generate import Sampling, answer_nll

    chats = [chat_of(item, bare) for item in items]
    answers: list[dict[str, Any]] = [
        {"nats": nats, "prompt": _prompt(chat)}
        for chat, (nats, _) in zip(chats, answer_nll(loaded, chats), strict=True)
    ]
    wanted = [i for i, item in enumerate(items) if item.task in asked.text_tasks]
    if wanted:
        prompts = [loaded.renderer.prompt_ids(chats[i].prompt) for i in wanted]
        sampling = Sampling(max_new_tokens=token_limit(loaded, items, asked))
        samples = asked.num_samples.get(items[0].task, 0)
        rows = asked.batch_size * (1 + samples)
        votes = [draft_of(chats[i]) * asked.draft_votes for i in wanted]
        texts = answer_batch(
            loaded, prompts, sampling, samples, asked.sample_temperature, min(rows, MOST_ROWS), further=votes
        )
        for i, text in zip(wanted, texts, strict=True):
            answers[i]["text"] = text
    return answers


def ask_baseline(module: ModuleType, cfg: Any, train: Dataset, items: list[Item], asked: Asked) -> Answers:
    """Let a baseline answer the items of the tasks it is meant for; one that gives nats gets each direction as a whole."""
    tasks = getattr(module, "TASKS", ())
    fitting = [item for item in items if not tasks or item.task in tasks]
    if not fitting:
        return
    answer = module.prepare(train, cfg)
    groups: dict[tuple[str, str], list[Item]] = {}
    for item in fitting:
        groups.setdefault((item.task, item.direction), []).append(item)
    for group in groups.values():
        if asked.cancelled():
            return
        if getattr(module, "GIVES", "text") == "whole":
            yield group, answer([item.chat for item in group])
        elif getattr(module, "GIVES", "text") == "nats":
            yield group, [{"nats": nats} for nats in answer([item.chat for item in group])]
        else:
            yield group, [{"text": answer(item.chat)} for item in group]


def load_baselines(names: list[str], settings: Mapping[str, Any], project: Path) -> dict[str, tuple[ModuleType, Any]]:
    """Import baselines and check their settings; raises ConfigError with every problem at once."""
    problems: list[str] = []
    found = {}
    for name in names:
        module = plugins.load("baseline", name, project)
        layer = Layer("endonym.toml", settings.get(name, {}))
        found[name] = (module, validate(module.Config, [layer], f"evaluate.baseline.{name}", problems))
    raise_problems(problems)
    return found


def chat_of(item: Item, bare: bool) -> Chat:
    """The prompt a system is asked with."""
    return item.bare if bare and item.bare is not None else item.chat


def _prompt(chat: Chat) -> str:
    return "\n\n".join(message.content for message in chat.prompt)
