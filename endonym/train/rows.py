"""Chats become rendered rows. Long plain text is divided at sentence ends; what still does not fit is in the ledger, never cut."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from endonym.data.dataset import Dataset
from endonym.errors import DataError, Problem
from endonym.models.generate import Sampling, generate_batch
from endonym.models.load import Loaded
from endonym.models.pieces import pieces
from endonym.models.render import IGNORE, Example, Renderer
from endonym.train.fit import Rows
from endonym.train.network import attention
from endonym.train.planted import note, taught
from endonym.train.settings import FitConfig
from endonym.types import Chat, to_json

if TYPE_CHECKING:
    from endonym.jobs.job import Job

Row = TypeVar("Row")


def chats_of(data: Dataset, split: str, tasks: Collection[str] = ()) -> list[Chat]:
    """The chats of a split; with `tasks`, those of these tasks alone."""
    return [c for c in data.records(split) if isinstance(c, Chat) and (not tasks or c.task in tasks)]


def prepare(
    train: Iterable[Chat], valid: Iterable[Chat], renderer: Renderer, cfg: FitConfig, job: Job
) -> tuple[Rows, list[Example], list[Chat]]:
    """Render the chats to train on and those to validate with; returns training rows, validation examples and their chats.

    Writes `output/ledger.jsonl` with every row, or sentence of plain text, longer than `max_length` tokens, and logs the length
    report. Raises DataError when no row is left.
    """
    examples: list[Example] = []
    weights: list[float] = []
    origins: list[str] = []
    ids: list[str] = []
    lengths: list[tuple[int, int]] = []
    train = taught(train, cfg)
    note(train, cfg, job.output)
    whole: list[Chat] = []
    too_long = divided = 0
    with (job.output / "ledger.jsonl").open("w", encoding="utf-8") as ledger:
        for chat in train:
            parts = pieces(chat, renderer, cfg.max_length)
            divided += len(parts) > 1
            if len(parts) == 1 and len(parts[0][1].ids) <= cfg.max_length:
                whole.append(chat)
            for part, example in parts:
                lengths.append((len(example.ids), sum(len(m.content.split()) for m in part.messages)))
                if len(example.ids) > cfg.max_length:
                    too_long += 1
                    detail = f"{len(example.ids)} tokens, limit {cfg.max_length}"
                    row = {"reason": "train.too_long", "detail": detail, "record": to_json(part)}
                    ledger.write(json.dumps(row, ensure_ascii=False) + "\n")
                else:
                    examples.append(example)
                    weights.append(part.weight)
                    origins.append(part.origin)
                    ids.append(chat.id)
    if not examples:
        raise DataError(
            Problem(
                "the training rows",
                0,
                "",
                f"all {len(lengths)} training rows are longer than {cfg.max_length} tokens",
                "raise --max-length, or make the texts shorter",
            )
        )
    lengths.sort()
    share = 100 * too_long / len(lengths)
    (middle, words), (most, most_words) = lengths[len(lengths) // 2], lengths[-1]
    job.log(
        f"{len(examples)} rows of {words} words ({middle} tokens) in the middle, {most_words} words ({most} tokens) at most; "
        f"{divided} texts divided at sentence ends; {too_long} ({share:.1f} %) longer than {cfg.max_length} tokens are in the ledger"
    )
    job.summary(rows=len(examples))
    shown, held = _held([c for c in valid if c.answer], renderer, cfg, job)
    alike = [renderer.example(c) for c in _alike(whole, shown)]
    seen, unseen, same = (bytes_per_token(e, renderer) for e in (evenly(examples, len(held)), held, alike))
    return Rows(examples, weights, origins, ids, alike, (seen, unseen, same)), held, shown


def _held(chats: Sequence[Chat], renderer: Renderer, cfg: FitConfig, job: Job) -> tuple[list[Chat], list[Example]]:
    """Validation chats with their examples, long plain text divided as in training; raises DataError when none is short enough."""
    pairs: list[tuple[Chat, Example]] = []
    for chat in spread(chats, cfg.valid_rows):
        example = renderer.example(chat)
        whole = chat.prompt or len(example.ids) <= cfg.max_length
        pairs += [(chat, example)] if whole else pieces(chat, renderer, cfg.max_length)
    fitting = [(c, e) for c, e in pairs if len(e.ids) <= cfg.max_length][: cfg.valid_rows]
    left = sum(len(e.ids) > cfg.max_length for _, e in pairs)
    if not fitting:
        what, repair = "there is none", "give the split a larger valid_size"
        if left:
            what, repair = f"all {left} are longer than {cfg.max_length} tokens", "raise --max-length"
        raise DataError(Problem("the validation rows", 0, "", what, repair))
    if left:
        job.log(f"{left} of {len(pairs)} validation rows are longer than {cfg.max_length} tokens and are not measured")
    return [c for c, _ in fitting], [e for _, e in fitting]


def rows_of(chats: Sequence[Chat], renderer: Renderer, cfg: FitConfig) -> Rows:
    """Rows of all of `chats` as `prepare` makes them, with neither ledger nor report."""
    made = [part for chat in chats for part in pieces(chat, renderer, cfg.max_length)]
    fitting = [(chat, example) for chat, example in made if len(example.ids) <= cfg.max_length]
    parts = [chat for chat, _ in fitting]
    return Rows(
        [example for _, example in fitting], [c.weight for c in parts], [c.origin for c in parts], [c.id for c in parts]
    )


def bytes_per_token(examples: Sequence[Example], renderer: Renderer) -> float:
    """UTF-8 bytes of the learned text a learned token, end markers counted as tokens without text."""
    learned = [[label for label in example.labels if label != IGNORE] for example in examples]
    return sum(len(renderer.decode(ids).encode()) for ids in learned) / max(1, sum(map(len, learned)))


def sampler(loaded: Loaded, chats: Sequence[Chat], number: int, job: Job) -> Callable[[int], None]:
    """Return a function that answers `number` validation prompts and records them as `sample` events."""
    shown = spread([c for c in chats if c.prompt], number)
    prompts = [loaded.renderer.prompt_ids(c.prompt) for c in shown]

    def show(step: int) -> None:
        was_training = loaded.model.training
        loaded.model.eval()
        with attention(loaded.model, "sdpa"):
            texts = generate_batch(loaded, prompts, Sampling(max_new_tokens=64))
        for chat, answers in zip(shown, texts, strict=True):
            source = chat.meta.get("source") or chat.prompt[-1].content
            job.event(
                "sample", step=step, task=chat.task, direction=chat.meta.get("direction", ""), source=source,
                answer=answers[0], reference=chat.answer,
            )  # fmt: skip
        loaded.model.train(was_training)

    return show


def _alike(train: Sequence[Chat], shown: Sequence[Chat]) -> list[Chat]:
    """Training chats spread over the whole of each task and direction, as many of each as are among `shown`."""
    wanted = Counter(_sort(chat) for chat in shown)
    groups: dict[tuple[str, str], list[Chat]] = {}
    for chat in train:
        if chat.weight > 0:
            groups.setdefault(_sort(chat), []).append(chat)
    return [chat for sort, number in wanted.items() for chat in evenly(groups.get(sort, []), number)]


def evenly(rows: Sequence[Row], number: int) -> list[Row]:
    """`number` of `rows` at equal distances, all where there are no more."""
    number = min(number, len(rows))
    return [rows[i * len(rows) // number] for i in range(number)]


def _sort(chat: Chat) -> tuple[str, str]:
    return chat.task, str(chat.meta.get("direction", ""))


def spread(chats: Sequence[Chat], number: int) -> list[Chat]:
    """Pick `number` chats evenly over the tasks and directions, in a fixed order."""
    groups: dict[tuple[str, str], list[Chat]] = {}
    for chat in sorted(chats, key=lambda c: c.id):
        groups.setdefault(_sort(chat), []).append(chat)
    picked: list[Chat] = []
    depth = 0
    while len(picked) < number and any(len(g) > depth for g in groups.values()):
        picked += [g[depth] for g in groups.values() if len(g) > depth]
        depth += 1
    return picked[:number]
