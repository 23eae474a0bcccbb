"""What the recipe `heads` is made of: rows with labels, the loss of each kind of head, and the same loss without packing."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import cross_entropy

from endonym.data.portion import direction_of
from endonym.errors import DataError, Problem
from endonym.models.generate import decoder
from endonym.models.heads import Asked, Reading, reading, words_of
from endonym.models.nets.heads import HeadConfig
from endonym.models.nets.together import Piece
from endonym.models.render import IGNORE, Example, Renderer
from endonym.train.batches import Packed
from endonym.train.fit import Rows
from endonym.train.network import computing
from endonym.train.rows import chats_of, evenly, spread
from endonym.types import Chat, to_json

if TYPE_CHECKING:
    from endonym.data.dataset import Dataset
    from endonym.train.recipes.heads import Config

BEGINS, ENDS, BOTH = 0, 1, 2
"""Labels of the first and the last token of an answer, and of one that is both."""


@dataclass(frozen=True)
class Left:
    """A chat that is not learned from, and why."""

    chat: Chat
    reason: str
    detail: str


class Labeller:
    """Turns chats into rows whose labels are what a head shall say: the number of a class at the token that is read for it."""

    def __init__(self, renderer: Renderer, config: HeadConfig, cfg: Config, others: Sequence[Chat]):
        """`others` are chats whose answers are the wrong ones beside the right one, where vectors are learned."""
        self.renderer, self.config, self.cfg = renderer, config, cfg
        self.number = {name: n for n, name in enumerate(config.outputs)}
        self.others: dict[str, list[str]] = {}
        for chat in others if config.kind == "embed" else ():
            self.others.setdefault(direction_of(chat), []).append(chat.answer)

    def row(self, chat: Chat) -> Example | Left:
        """The row of a chat, or why it has none."""
        make = {"classify": self._class, "tag": self._tags, "answer": self._answer, "embed": self._vectors}
        made = make[self.config.kind](chat)
        if isinstance(made, Example) and len(made.ids) > self.cfg.max_length:
            return Left(chat, "train.too_long", f"{len(made.ids)} tokens, limit {self.cfg.max_length}")
        return made

    def _read(self, text: str, question: str = "") -> Reading:
        return reading(self.renderer, self.config, Asked(text, question))

    def _labelled(self, read: Reading, labels: dict[int, int], span: range = range(0)) -> Example:
        """A row with these labels at these tokens. A label stands behind the token that it is read at, as next tokens do."""
        ids = [*read.ids, self.renderer.end_ids[0]]
        return Example(ids, [labels.get(n - 1, IGNORE) for n in range(len(ids))], goes_on=True, span=span)

    def _class(self, chat: Chat) -> Example | Left:
        if chat.answer not in self.number:
            return Left(chat, "heads.unknown_label", f"no training text has the label '{chat.answer}'")
        read = self._read(str(chat.meta["source"]))
        return self._labelled(read, {len(read.ids) - 1: self.number[chat.answer]})

    def _tags(self, chat: Chat) -> Example | Left:
        text, tags = str(chat.meta["source"]), chat.answer.split()
        words = words_of(text)
        if len(words) != len(tags):
            return Left(chat, "heads.words_changed", f"{len(words)} words, and {len(tags)} tags")
        if unknown := next((tag for tag in tags if tag not in self.number), ""):
            return Left(chat, "heads.unknown_label", f"no training word has the tag '{unknown}'")
        read = self._read(text)
        return self._labelled(read, {at: self.number[tag] for at, tag in zip(read.ends(words), tags, strict=True)})

    def _answer(self, chat: Chat) -> Example | Left:
        context, start = str(chat.meta["context"]), int(chat.meta["start"])
        places = [n for n in range(len(context)) if context.startswith(chat.answer, n)]
        if not places:
            return Left(chat, "heads.answer_not_there", f"'{chat.answer}' does not stand in the text any more")
        # Cleaning may have moved it: of several places, the one nearest to where it was.
        start = min(places, key=lambda n: abs(n - start))
        read = self._read(context, str(chat.meta["question"]))
        found = read.tokens(start, start + len(chat.answer))
        if found is None:
            return Left(chat, "heads.answer_not_there", f"no token stands for '{chat.answer}'")
        first, last = found
        return self._labelled(read, {first: BOTH} if first == last else {first: BEGINS, last: ENDS}, read.judged)

    def _vectors(self, chat: Chat) -> Example | Left:
        known = self.others.get(direction_of(chat), [])
        wrong = [text for text in dict.fromkeys(known) if text != chat.answer]
        if not wrong:
            return Left(chat, "heads.nothing_beside", "there is no other answer that could be wrong")
        # Wrong ones of its own for each row, drawn by its id: a row's loss is the same in whatever batch it comes.
        drawn = random.Random(f"{self.cfg.seed}:{chat.id}").sample(wrong, min(self.cfg.negatives, len(wrong)))
        read = self._read(str(chat.meta["source"]))
        row = self._labelled(read, {len(read.ids) - 1: 0})
        ids, cuts = list(row.ids), []
        for text in (chat.answer, *drawn):
            cuts.append(len(ids))
            ids += self._read(text).ids
        return Example(ids, [*row.labels, *[IGNORE] * (len(ids) - len(row.ids))], True, cuts=tuple(cuts))


def config_of(cfg: Config, chats: Sequence[Chat]) -> HeadConfig:
    """The settings of a head that can say all that the answers of `chats` say, without those of its foundation."""
    outputs: list[str] = []
    if cfg.head == "classify":
        outputs = sorted({chat.answer for chat in chats})
    elif cfg.head == "tag":
        outputs = sorted({tag for chat in chats for tag in chat.answer.split()})
    echo = cfg.head in ("tag", "answer") if cfg.echo == "auto" else cfg.echo == "yes"
    pooling = ("mean" if cfg.frozen else "last") if cfg.pooling == "auto" else cfg.pooling
    return HeadConfig(cfg.head, outputs, cfg.width, pooling, echo)


def labelled(
    cfg: Config, data: Dataset, renderer: Renderer, ledger: Path | None = None
) -> tuple[HeadConfig, Rows, list[Example], dict[str, int]]:
    """Settings of the head, training rows, validation rows, and how many chats were left out of both, by reason.

    Chats without a row are written to `ledger`. Raises DataError when no row is left, or nothing could be told apart.
    """
    learned, held = chats_of(data, "train", (cfg.head,)), chats_of(data, "valid", (cfg.head,))
    if not learned:
        problem = Problem(
            "the chats", 0, "task", f"none has the task '{cfg.head}'", f'add it to the tasks: [compose] plugins = ["{cfg.head}"]'
        )  # fmt: skip
        raise DataError(problem)
    config = config_of(cfg, learned)
    if cfg.head in ("classify", "tag") and len(config.outputs) < 2:
        problem = Problem("the chats", 0, "", f"all have the same label '{config.outputs[0]}'", "add texts of others")
        raise DataError(problem)
    labeller = Labeller(renderer, config, cfg, learned)
    made = [(chat, labeller.row(chat)) for chat in learned]
    valid = [(chat, labeller.row(chat)) for chat in spread(held, cfg.valid_rows)]
    left = [row for _, row in (*made, *valid) if isinstance(row, Left)]
    if ledger is not None:
        with ledger.open("w", encoding="utf-8") as file:
            for one in left:
                line = {"reason": one.reason, "detail": one.detail, "record": to_json(one.chat)}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
    kept = [(chat, row) for chat, row in made if isinstance(row, Example)]
    shown = [row for _, row in valid if isinstance(row, Example)]
    for name, found in (("training", kept), ("validation", shown)):
        if not found:
            why = ", ".join(sorted({one.reason for one in left})) or "there is none"
            raise DataError(Problem(f"the {name} rows", 0, "", f"none is left ({why})", "see output/ledger.jsonl"))
    examples = [row for _, row in kept]
    sizes = tuple(
        sum(len(str(c.meta["source"]).encode()) for c, _ in part) / max(1, sum(r.num_learned for r in rows))
        for part, rows in ((kept, examples), (valid, shown), (kept, examples))
    )
    rows = Rows(
        examples, [c.weight for c, _ in kept], [c.origin for c, _ in kept], [c.id for c, _ in kept],
        evenly(examples, len(shown)), (sizes[0], sizes[1], sizes[2]),
    )  # fmt: skip
    return config, rows, shown, dict(Counter(one.reason for one in left))


@dataclass(frozen=True)
class HeadLoss:
    """The loss of a head, a sum over what is learned of a pack; in nats."""

    config: HeadConfig
    temperature: float

    def __call__(self, model: Any, batch: Packed) -> torch.Tensor:
        """Cross-entropy of classes and tags at their tokens; of beginnings and ends over all tokens of a text; of the right answer
        over the row's own wrong ones (InfoNCE: van den Oord and others, 2018)."""
        with computing(model):
            features = getattr(model, "features", None)
            lower = features.of(batch) if features else None
            known = {} if lower is None else {"lower": lower}
            hidden_TD = decoder(model)(
                input_ids=batch.ids, position_ids=batch.positions, use_cache=False, pieces=batch.pieces, **known
            ).last_hidden_state[0]
            parts = [model.scores(hidden_TD[:0]).sum()]
            if self.config.kind == "answer":
                parts += [self._spans(model, hidden_TD, *three) for three in _learned(batch)]
            elif self.config.kind == "embed":
                parts += [self._choices(model, hidden_TD, row) for row in _cut(batch)]
            elif len(batch.targets):
                parts.append(self._classes(model, hidden_TD, batch))
        return torch.stack(parts).sum()

    def _classes(self, model: Any, hidden_TD: torch.Tensor, batch: Packed) -> torch.Tensor:
        pooled = hidden_TD[batch.predicting]
        if self.config.kind == "classify" and self.config.pooling == "mean":
            pooled = torch.stack(
                [
                    hidden_TD[_places(piece, first)[: t + 1]].mean(0)
                    for e, piece, first in _learned(batch)
                    for t in _at(e)
                ]
            )
        return cross_entropy(model.scores(pooled), batch.targets, reduction="sum")

    def _spans(self, model: Any, hidden_TD: torch.Tensor, example: Example, piece: Piece, first: int) -> torch.Tensor:
        places = _places(piece, first)
        logits = model.scores(hidden_TD[[places[t] for t in example.span]])
        return _span_loss(logits, example)

    def _choices(self, model: Any, hidden_TD: torch.Tensor, row: Sequence[tuple[Example, Piece]]) -> torch.Tensor:
        # What follows the text asked about is the place of its label, and no part of it.
        pieces = [range(p.start, p.end - (n == 0)) for n, (_, p) in enumerate(row)]
        mean = self.config.pooling == "mean"
        pooled = torch.stack([hidden_TD[p.start : p.stop].mean(0) if mean else hidden_TD[p.stop - 1] for p in pieces])
        return _choice_loss(model.scores(pooled), self.temperature)

    def alone(self, model: Any, row: Example) -> torch.Tensor:
        """The loss of a row as the model gives it without packs: by its own forward."""
        where = next(model.parameters()).device

        def logits(ids: Sequence[int]) -> torch.Tensor:
            made: torch.Tensor = model(input_ids=torch.tensor([list(ids)], device=where)).logits[0]
            return made

        if self.config.kind == "embed":
            ends = (*row.cuts[1:], len(row.ids))
            texts = [row.ids[: row.cuts[0] - 1], *(row.ids[a:b] for a, b in zip(row.cuts, ends, strict=True))]
            return _choice_loss(torch.stack([logits(ids) for ids in texts]), self.temperature)
        made = logits(row.ids[:-1])
        if self.config.kind == "answer":
            return _span_loss(made[list(row.span)], row)
        made = made[None] if self.config.kind == "classify" else made[_at(row)]
        wanted = torch.tensor([row.labels[t + 1] for t in _at(row)], device=where)
        return cross_entropy(made, wanted, reduction="sum")


def _span_loss(logits: torch.Tensor, example: Example) -> torch.Tensor:
    """Nats of the first and of the last token of an answer among those of its text; `logits` (tokens, 2)."""
    label = {example.labels[t + 1]: t - example.span.start for t in _at(example)}
    nats = -logits.log_softmax(0)
    begins, ends = (label.get(BEGINS, label.get(BOTH)), label.get(ENDS, label.get(BOTH)))
    assert begins is not None and ends is not None
    return nats[begins, 0] + nats[ends, 1]


def _choice_loss(vectors: torch.Tensor, temperature: float) -> torch.Tensor:
    """Nats of the right text, whose vector is the second, among all that follow the first; `vectors` (texts, width) of length 1."""
    return -(vectors[1:] @ vectors[0] / temperature).log_softmax(0)[0]


def _at(example: Example) -> list[int]:
    """The tokens of a row that something is read at."""
    return [n - 1 for n, label in enumerate(example.labels) if label != IGNORE]


def _places(piece: Piece, first: int) -> list[int]:
    """Where in the pack each token of a row stands, whose tokens from `first` on are the piece."""
    assert len(piece.before) == first
    return piece.keys


def _learned(batch: Packed) -> Iterator[tuple[Example, Piece, int]]:
    """The rows of a pack that are learned from, each with the piece in which it is, and its first token there."""
    for (example, first, last), piece in zip(batch.laid, batch.pieces, strict=True):
        if example is not None and any(first <= t < last - 1 for t in _at(example)):
            yield example, piece, first


def _cut(batch: Packed) -> Iterator[list[tuple[Example, Piece]]]:
    """The pieces of each row of several texts that is learned from."""
    row: list[tuple[Example, Piece]] = []
    for (example, _, last), piece in zip(batch.laid, batch.pieces, strict=True):
        if example is None or not example.cuts or not example.num_learned:
            continue
        row.append((example, piece))
        if last == len(example.ids):
            yield row
            row = []
