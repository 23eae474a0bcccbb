"""Chats become rendered rows; what does not fit is in the ledger with its length, never cut."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from endonym.data.dataset import Dataset
from endonym.errors import DataError, Problem
from endonym.models.generate import Sampling, generate_batch
from endonym.models.load import Loaded
from endonym.models.render import Example, Renderer
from endonym.train.fit import Rows
from endonym.train.network import attention
from endonym.train.settings import FitConfig
from endonym.types import Chat, to_json

if TYPE_CHECKING:
    from endonym.jobs.job import Job


def prepare(data: Dataset, renderer: Renderer, cfg: FitConfig, job: Job) -> tuple[Rows, list[Example], list[Chat]]:
    """Render train and valid; returns training rows, validation examples and the chats they come from.

    Writes `output/ledger.jsonl` with every row longer than `max_length` tokens, and logs the length report. Raises DataError
    when no row is left.
    """
    examples: list[Example] = []
    weights: list[float] = []
    lengths: list[int] = []
    too_long = 0
    with (job.output / "ledger.jsonl").open("w", encoding="utf-8") as ledger:
        for chat in data.records("train"):
            assert isinstance(chat, Chat)
            example = renderer.example(chat, every_turn=True)
            lengths.append(len(example.ids))
            if len(example.ids) > cfg.max_length:
                too_long += 1
                detail = f"{len(example.ids)} tokens, limit {cfg.max_length}"
                row = {"reason": "train.too_long", "detail": detail, "record": to_json(chat)}
                ledger.write(json.dumps(row, ensure_ascii=False) + "\n")
            else:
                examples.append(example)
                weights.append(chat.weight)
    if not examples:
        raise DataError(
            Problem(
                str(data.folder),
                0,
                "",
                f"all {len(lengths)} training rows are longer than {cfg.max_length} tokens",
                "raise --max-length, or make the texts shorter",
            )
        )
    lengths.sort()
    share = 100 * too_long / len(lengths)
    job.log(
        f"{len(examples)} rows of {lengths[len(lengths) // 2]} tokens in the middle, {lengths[-1]} at most; "
        f"{too_long} ({share:.1f} %) longer than {cfg.max_length} are in the ledger"
    )
    chats = [c for c in data.records("valid") if isinstance(c, Chat) and c.answer]
    pairs = [(c, renderer.example(c)) for c in _spread(chats, cfg.valid_rows)]
    pairs = [(c, e) for c, e in pairs if len(e.ids) <= cfg.max_length]
    if not pairs:
        raise DataError(
            Problem(str(data.folder), 0, "", "there is no validation row", "give the split a larger valid_size")
        )
    return Rows(examples, weights), [e for _, e in pairs], [c for c, _ in pairs]


def sampler(loaded: Loaded, chats: Sequence[Chat], number: int, job: Job) -> Callable[[int], None]:
    """Return a function that answers `number` validation prompts and records them as `sample` events."""
    shown = _spread([c for c in chats if c.prompt], number)
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


def _spread(chats: Sequence[Chat], number: int) -> list[Chat]:
    """Pick `number` chats evenly over the tasks and directions, in a fixed order."""
    groups: dict[tuple[str, str], list[Chat]] = {}
    for chat in sorted(chats, key=lambda c: c.id):
        groups.setdefault((chat.task, str(chat.meta.get("direction", ""))), []).append(chat)
    picked: list[Chat] = []
    depth = 0
    while len(picked) < number and any(len(g) > depth for g in groups.values()):
        picked += [g[depth] for g in groups.values() if len(g) > depth]
        depth += 1
    return picked[:number]
