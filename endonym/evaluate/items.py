"""The questions of the sealed test, and the answers of one system to them, item by item: what a metric scores."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from endonym.data.portion import direction_of
from endonym.errors import DataError, Problem
from endonym.types import Chat

if TYPE_CHECKING:
    from endonym.data.dataset import Dataset
    from endonym.retrieve.context import Context


@dataclass(frozen=True)
class Item:
    """One question of the sealed test, the same for every system."""

    id: str
    task: str
    direction: str
    """`spa>tzh` for tasks between two languages, the code of the answer's language otherwise."""
    source: str
    references: tuple[str, ...]
    """Acceptable answers; the first is the one this item was made from."""
    chat: Chat
    """The prompt with hints as composed."""
    bare: Chat | None = None
    """The prompt without hints, when it differs and was asked for."""


@dataclass(frozen=True)
class Run:
    """The answers of `system` to all items of one task and direction; all tuples have the same length and order."""

    system: str
    task: str
    direction: str
    ids: tuple[str, ...]
    sources: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    hypotheses: tuple[str | None, ...]
    """What the system wrote; None where it only gives probabilities."""
    nll_nats: tuple[float | None, ...]
    """Negative log probability of the first reference in nats; None where the system gives no probabilities."""
    num_bytes: tuple[int, ...]
    """UTF-8 bytes of the first reference."""
    counts: tuple[Sequence[float] | None, ...] = ()
    """What a metric that asks in its own way counted; None where it did not."""

    @property
    def has_text(self) -> bool:
        """Whether every item has an answer that can be read."""
        return bool(self.ids) and all(text is not None for text in self.hypotheses)

    @property
    def has_probabilities(self) -> bool:
        """Whether every item has a probability."""
        return bool(self.ids) and all(nats is not None for nats in self.nll_nats)

    @property
    def texts(self) -> list[str]:
        """The hypotheses as plain strings; only valid when `has_text`."""
        return [text or "" for text in self.hypotheses]


def source_of(chat: Chat) -> str:
    """The bare text to translate or look up; the last user turn when the task does not name one."""
    if chat.meta.get("source"):
        return str(chat.meta["source"])
    turns = [message.content for message in chat.messages if message.role == "user"]
    return turns[-1] if turns else ""


def collect(chats: Iterable[tuple[Chat, Chat | None]], max_items: int) -> list[Item]:
    """Turn composed chats into items: at most `max_items` per task and direction, answers of equal questions pooled.

    Two dictionary entries may ask for the same word; each answer is then acceptable for both. `chat.meta["accepted"]`, when a
    task gives it, lists further acceptable answers. Chats without an answer cannot be scored and are left out.
    Raises DataError where two questions have one id, for an answer is known by it.
    """
    composed = [(chat, bare) for chat, bare in chats if chat.answer.strip()]
    _apart([chat for chat, _ in composed])
    pooled: dict[tuple[str, str, str], dict[str, None]] = {}
    for chat, _ in composed:
        answers = pooled.setdefault((chat.task, direction_of(chat), source_of(chat) or chat.id), {})
        answers.update(dict.fromkeys([chat.answer, *map(str, chat.meta.get("accepted", ()))]))
    items: list[Item] = []
    counts: dict[tuple[str, str], int] = {}
    for chat, bare in composed:
        key = (chat.task, direction_of(chat))
        if counts.get(key, 0) >= max_items > 0:
            continue
        counts[key] = counts.get(key, 0) + 1
        others = pooled[(*key, source_of(chat) or chat.id)]
        references = tuple(dict.fromkeys([chat.answer, *others]))
        items.append(Item(chat.id, *key, source_of(chat), references, chat, bare))
    return items


def _apart(chats: Sequence[Chat]) -> None:
    known: dict[tuple[str, str], tuple[str, str]] = {}
    for chat in chats:
        own = source_of(chat), chat.answer
        if known.setdefault((chat.task, chat.id), own) != own:
            what = f"two questions of the task '{chat.task}' have the id '{chat.id}', so neither could be scored"
            raise DataError(Problem(chat.origin, 0, "id", what, "a task must give each chat an id of its own"))


def sealed(
    dataset: Dataset, context: Context, tasks: Collection[str], max_items: int, seed: int, also_bare: bool = False
) -> list[Item]:
    """Compose the sealed test with the tasks (all, where none is named) and settings the training chats were made with.

    `seed` draws at most `max_items` per task and direction; with `also_bare`, items have a prompt without hints too. Raises
    DataError when there are none.
    """
    pairs: list[tuple[Chat, Chat | None]] = []
    for record in dataset.records("test"):
        for task in (task for task in context.tasks if not tasks or task in tasks):
            context.without_hints = False
            hinted = list(context.compose(record, task))
            context.without_hints = True
            bare = context.compose(record, task) if also_bare else [None] * len(hinted)
            pairs += zip(hinted, bare, strict=True)
    pairs.sort(key=lambda pair: hashlib.sha256(f"{seed}:{pair[0].task}:{pair[0].id}".encode()).digest())
    items = collect(pairs, max_items)
    if not items:
        what, hint = "the sealed test gives no questions for these tasks", "make the test split larger"
        raise DataError(Problem(str(dataset.folder), 0, "test", what, hint))
    return items


def make_run(system: str, items: list[Item], found: list[dict[str, Any]]) -> Run:
    """Gather what `system` answered to `items` of one task and direction: `text`, `nats` and `counts` of each, where there are any."""
    return Run(
        system=system,
        task=items[0].task,
        direction=items[0].direction,
        ids=tuple(item.id for item in items),
        sources=tuple(item.source for item in items),
        references=tuple(item.references for item in items),
        hypotheses=tuple(out.get("text") for out in found),
        nll_nats=tuple(out.get("nats") for out in found),
        num_bytes=tuple(len(item.references[0].encode()) for item in items),
        counts=tuple(out.get("counts") for out in found),
    )
