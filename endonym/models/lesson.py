"""A short training of adapters on chats, always of the same computing, by which sets of training rows are compared."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from endonym.models.adapters import speed_up
from endonym.models.descent import descend
from endonym.models.generate import decoder
from endonym.models.load import Loaded
from endonym.models.needs import TRIAL_RANK, TRIAL_TOKENS
from endonym.models.packed import import_peft
from endonym.models.render import IGNORE, Example
from endonym.types import Chat


@dataclass(frozen=True)
class Lesson:
    """How long and how fast adapters are trained."""

    steps: int
    batch_tokens: int
    learning_rate: float
    rank: int = TRIAL_RANK
    longest: int = 1024
    """Rows of more tokens are passed over."""
    seed: int = 20


@dataclass(frozen=True)
class Learned:
    """What was seen in training."""

    steps: int
    tokens: int
    rows: int
    epochs: float
    cancelled: bool


def learn(
    loaded: Loaded,
    chats: Sequence[Chat],
    cfg: Lesson,
    progress: Callable[[int, int, float], None],
    cancelled: Callable[[], bool],
) -> Learned:
    """Train adapters on the model of `loaded`: those it has, or else fresh ones. Every step has as many rows as fill `batch_tokens`."""
    torch.manual_seed(cfg.seed)
    model = _with_adapters(loaded.model, cfg.rank)
    model.train()
    source = _rows(loaded, chats, cfg)
    tokens, rows, epochs = 0, 0, 0.0

    def gradients(step: int) -> float:
        nonlocal tokens, rows, epochs
        batch: list[Example] = []
        # What one step has too much the next has less, so that rows of other lengths get no more computing.
        while not batch or tokens < (step + 1) * cfg.batch_tokens:
            example, epochs = next(source)
            batch.append(example)
            tokens += len(example.ids)
        rows += len(batch)
        return _gradients(loaded, model, batch)

    learned = (p for p in model.parameters() if p.requires_grad)
    step = descend(learned, cfg.steps, cfg.learning_rate, 0.01, gradients, progress, cancelled)
    model.eval()
    return Learned(step, tokens, rows, epochs, step < cfg.steps)


def _with_adapters(network: Any, rank: int) -> Any:
    import_peft()
    from peft import LoraConfig, PeftModel, get_peft_model

    if isinstance(network, PeftModel):
        network.set_adapter(network.active_adapter)  # Loaded to answer, they are frozen.
        return network
    settings = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    model: Any = get_peft_model(network, settings)
    speed_up(model)
    return model


def _gradients(loaded: Loaded, model: Any, batch: Sequence[Example]) -> float:
    """Gradients of the mean loss of all learned tokens of a step; returns that loss in nats."""
    total = sum(label != IGNORE for one in batch for label in one.labels[1:])
    value = 0.0
    for part in _parts(sorted(batch, key=lambda one: len(one.ids))):
        longest = len(part[-1].ids)
        fill = [longest - len(one.ids) for one in part]
        ids = torch.tensor([one.ids + [0] * n for one, n in zip(part, fill)], device=loaded.device)
        labels = torch.tensor([one.labels + [IGNORE] * n for one, n in zip(part, fill)], device=loaded.device)
        # Filled up on the right: causal attention never looks there, so no mask is needed.
        hidden = decoder(model)(input_ids=ids, use_cache=False).last_hidden_state
        where = labels[:, 1:] != IGNORE
        logits = model.get_output_embeddings()(hidden[:, :-1][where]).float()
        loss = torch.nn.functional.cross_entropy(logits, labels[:, 1:][where], reduction="sum") / max(1, total)
        loss.backward()
        value += float(loss.detach())
    return value


def _parts(rows: Sequence[Example]) -> Iterator[list[Example]]:
    """Rows, shorter ones first, in parts of at most `TRIAL_TOKENS` tokens once they are filled up to the longest."""
    part: list[Example] = []
    for row in rows:
        if part and (len(part) + 1) * len(row.ids) > TRIAL_TOKENS:
            yield part
            part = []
        part.append(row)
    yield part


def _rows(loaded: Loaded, chats: Sequence[Chat], cfg: Lesson) -> Iterator[tuple[Example, float]]:
    """Endless rows, in random order every time, each as often as its weight says; and how many times all were read by then."""
    known = [(loaded.renderer.example(chat, every_turn=True), chat.weight) for chat in chats]
    known = [(example, weight) for example, weight in known if len(example.ids) <= cfg.longest and weight > 0]
    assert known, "there is no row short enough to learn"
    epoch = 0
    while True:
        draw = random.Random(f"{cfg.seed}:{epoch}")
        order = [
            i
            for i, (_, weight) in enumerate(known)
            for _ in range(int(weight) + (draw.random() < weight - int(weight)))
        ]
        draw.shuffle(order)
        for place, i in enumerate(order, 1):
            yield known[i][0], epoch + place / len(order)
        epoch += 1
