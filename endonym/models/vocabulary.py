"""Give a model the rows of another vocabulary: those it has are kept, new ones are made of the old pieces that spelled them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from endonym.data.lexicon import Lexicon, words
from endonym.models.nets.banked import refuse
from endonym.models.spelling import Speller

Meanings = Mapping[int, tuple[float, list[tuple[list[int], float]]]]
"""New id -> (how far the token stands for whole words, from 0 to 1; the translations of those as old ids, with weights)."""


@dataclass(frozen=True)
class Change:
    """How one tokenizer's tokens are made of another's."""

    num_rows: int
    kept: list[tuple[int, int]]
    """(new id, old id) of tokens whose row is taken over."""
    fresh: list[int]
    """Ids of new tokens."""
    pieces: list[list[int]]
    """For each of them the old ids that spell it; never empty."""


@dataclass(frozen=True)
class Matrices:
    """A model's embeddings as they were. Shapes: (rows, width); `output` is None where the head is tied to the input."""

    input: torch.Tensor
    output: torch.Tensor | None
    bias: torch.Tensor | None = None

    @classmethod
    def of(cls, model: Any) -> Matrices:
        head = model.get_output_embeddings()
        weight = model.get_input_embeddings().weight
        # Tensors without numbers all stand at address 0.
        tied = head.weight is weight or (not weight.is_meta and head.weight.data_ptr() == weight.data_ptr())
        bias = getattr(head, "bias", None)
        return cls(
            weight.detach().clone(), None if tied else head.weight.detach().clone(),
            None if bias is None else bias.detach().clone(),
        )  # fmt: skip


def change(old: Any, new: Any, old_rows: int) -> Change:
    """Compare two transformers tokenizers; `old_rows` is how many rows the model has.

    Tokens spelled alike keep their row, and so do special tokens of the same name. When all old tokens keep their ids, spare
    rows of the model stay too.
    """
    before, after = Speller(old), Speller(new)
    kept, fresh, pieces = [], [], []
    alike = before.byte_level == after.byte_level
    for token, number in sorted(after.vocabulary.items(), key=lambda item: item[1]):
        both_whole = token in after.whole and token in before.vocabulary
        if both_whole or (alike and token not in after.whole and token in before.vocabulary):
            kept.append((number, before.vocabulary[token]))
            continue
        spelled = before.pieces(after.bytes_of(token))
        if len(spelled) == 1:
            kept.append((number, spelled[0]))
        else:
            fresh.append(number)
            pieces.append(spelled or [old.unk_token_id or 0])
    extended = sum(a == b for a, b in kept) >= len(before.vocabulary)
    size = max(after.vocabulary.values()) + 1
    return Change(max(size, old_rows) if extended else size, kept, fresh, pieces)


def mean(matrix: torch.Tensor, pieces: Sequence[Sequence[int]]) -> torch.Tensor:
    """Each row the mean of the old rows of its pieces; shape (tokens, width)."""
    owner = torch.tensor([i for i, ids in enumerate(pieces) for _ in ids], dtype=torch.long, device=matrix.device)
    ids = torch.tensor([number for row in pieces for number in row], dtype=torch.long, device=matrix.device)
    rows = matrix.new_zeros(len(pieces), matrix.shape[1]).index_add_(0, owner, matrix[ids])
    lengths = torch.tensor([len(row) for row in pieces], device=matrix.device, dtype=matrix.dtype)
    return rows / lengths.clamp(min=1)[:, None]


def random(matrix: torch.Tensor, pieces: Sequence[Sequence[int]], seed: int) -> torch.Tensor:
    """Rows drawn with the mean and spread of the old ones: what the other ways are held against."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(pieces), matrix.shape[1], generator=generator).to(matrix)
    return matrix.mean(0) + noise * matrix.std(0)


def weighted(
    matrix: torch.Tensor, pieces: Sequence[Sequence[int]], fresh: Sequence[int], known: Meanings
) -> torch.Tensor:
    """The mean of the pieces, moved towards the rows of the words that translate those the token stands for.

    With so little text, means weighted by alignment do as well as anything dearer (Remy and others, Trans-Tokenization, COLM
    2024); a token that is a whole word takes half of its row from its translations.
    """
    rows = mean(matrix, pieces)
    for place, number in enumerate(fresh):
        if number in known:
            share, meant = known[number]
            total = sum(weight for _, weight in meant)
            said = sum(mean(matrix, [ids])[0] * (weight / total) for ids, weight in meant)
            rows[place] += 0.5 * share * (said - rows[place])
    return rows


def meanings(
    new: Any, old: Any, texts: Iterable[str], lexicon: Lexicon, fresh: Iterable[int], best: int = 5
) -> Meanings:
    """What the new tokens mean: the translations of the words of `texts` in which they stand, by the share they have of each."""
    wanted = set(fresh)
    counts = Counter(word for text in texts for word in words(text))
    speller = Speller(new)
    names = {number: token for token, number in speller.vocabulary.items()}
    found: dict[int, dict[str, float]] = {}
    shares: dict[int, list[float]] = {}
    for word, count in counts.items():
        said = lexicon.best(word, best)
        ids = [number for number in new.encode(" " + word, add_special_tokens=False) if number in wanted]
        for number in ids:
            cover = min(1.0, len(speller.bytes_of(names[number]).strip()) / len(word.encode()))
            weigh = shares.setdefault(number, [0.0, 0.0])
            weigh[0] += count * cover * sum(p for _, p in said)
            weigh[1] += count
            for other, p in said:
                row = found.setdefault(number, {})
                row[other] = row.get(other, 0.0) + count * cover * p
    known = {}
    for number, others in found.items():
        likeliest = sorted(others.items(), key=lambda item: (-item[1], item[0]))[:best]
        meant = [(old.encode(" " + word, add_special_tokens=False), p) for word, p in likeliest]
        known[number] = (min(1.0, shares[number][0] / shares[number][1]), [(ids, p) for ids, p in meant if ids])
    return {number: row for number, row in known.items() if row[1]}


def install(
    model: Any, before: Matrices, changed: Change, rows: torch.Tensor, out_rows: torch.Tensor | None = None
) -> None:
    """Put the matrices of the new vocabulary into `model`: old rows where tokens are kept, `rows` for the fresh ones.

    A head of its own gets `out_rows`, or the mean of the pieces; a tied one stays tied.
    """
    refuse(model, "given another vocabulary")
    table = torch.nn.Embedding(changed.num_rows, before.input.shape[1], dtype=before.input.dtype).to(
        before.input.device
    )
    _fill(table.weight, before.input, changed, rows)
    model.set_input_embeddings(table)
    head = torch.nn.Linear(before.input.shape[1], changed.num_rows, bias=before.bias is not None, device="meta")
    if before.output is None:
        head.weight = table.weight
    else:
        head.weight = torch.nn.Parameter(before.output.new_empty(changed.num_rows, before.output.shape[1]))
        _fill(
            head.weight, before.output, changed, mean(before.output, changed.pieces) if out_rows is None else out_rows
        )
    if before.bias is not None:
        head.bias = torch.nn.Parameter(before.bias.new_empty(changed.num_rows))
        column = before.bias[:, None]
        _fill(head.bias.data[:, None], column, changed, mean(column, changed.pieces))
    model.set_output_embeddings(head)
    model.config.get_text_config().vocab_size = changed.num_rows


def make_room(model: Any, old: Any, new: Any) -> None:
    """Give a model without numbers, laid out for tokenizer `old`, matrices for the vocabulary of `new`."""
    before = Matrices.of(model)
    changed = change(old, new, len(before.input))
    install(
        model, before, changed, before.input.new_empty(len(changed.fresh), before.input.shape[1]),
        None if before.output is None else before.output.new_empty(len(changed.fresh), before.output.shape[1]),
    )  # fmt: skip


def rename_specials(model: Any, old: Any, new: Any) -> None:
    """Let the ids of special tokens in the model's settings name the same tokens in the new vocabulary; None for what names none."""

    def renamed(number: Any) -> Any:
        if isinstance(number, list):
            return [found for n in number if (found := renamed(n)) is not None]
        # Some bases have -1, or an id beyond their tokenizer, for a token they do not use.
        name = None if number < 0 else old.convert_ids_to_tokens(number)
        return None if name is None else new.convert_tokens_to_ids(name)

    for settings in (model.config.get_text_config(), model.generation_config):
        for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
            if getattr(settings, name, None) is not None:
                setattr(settings, name, renamed(getattr(settings, name)))


def _fill(table: torch.Tensor, old: torch.Tensor, changed: Change, rows: torch.Tensor) -> None:
    with torch.no_grad():
        table.copy_(old.mean(0).expand_as(table))
        if changed.num_rows >= len(old):
            table[: len(old)] = old
        if changed.kept:
            new_ids, old_ids = zip(*changed.kept, strict=True)
            table[list(new_ids)] = old[list(old_ids)]
        if changed.fresh:
            table[changed.fresh] = rows.to(table)


class OnlyRows(torch.nn.Module):
    """An embedding, or the head tied to it, of which some rows are trained and all others stay as they are."""

    def __init__(self, matrix: torch.Tensor, learned: Sequence[int]):
        super().__init__()
        self.matrix = matrix.detach()
        self.ids = torch.tensor(learned, dtype=torch.long, device=matrix.device)
        self.place = torch.full((len(matrix),), -1, dtype=torch.long, device=matrix.device)
        self.place[self.ids] = torch.arange(len(learned), device=matrix.device)
        self.weight = torch.nn.Parameter(self.matrix[self.ids].clone())
        """The rows that are trained; shape (learned, width)."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        place = self.place[ids]
        mine = torch.nn.functional.embedding(place.clamp(min=0), self.weight)
        return torch.where((place >= 0)[..., None], mine, torch.nn.functional.embedding(ids, self.matrix))

    def whole(self) -> torch.Tensor:
        """The matrix with the trained rows in it."""
        return self.matrix.index_copy(0, self.ids, self.weight.detach())


class OnlyRowsHead(torch.nn.Module):
    """The output layer over `OnlyRows`."""

    def __init__(self, rows: OnlyRows, bias: torch.Tensor | None = None):
        super().__init__()
        self.rows = rows
        self.bias = None if bias is None else bias.detach()

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = torch.nn.functional.linear(hidden, self.rows.matrix)
        mine = torch.nn.functional.linear(hidden, self.rows.weight)
        logits = logits.index_copy(-1, self.rows.ids, mine.to(logits.dtype))
        return logits if self.bias is None else logits + self.bias


def only_rows(model: Any, learned: Sequence[int]) -> None:
    """Freeze `model` but for these rows of its embeddings, input and output; `all_rows` puts it together again."""
    before = Matrices.of(model)
    model.requires_grad_(False)
    table = OnlyRows(before.input, learned)
    model.set_input_embeddings(table)
    rows = table if before.output is None else OnlyRows(before.output, learned)
    model.set_output_embeddings(OnlyRowsHead(rows, before.bias))


def all_rows(model: Any) -> None:
    """Undo `only_rows`, keeping what was learned."""
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    rows = torch.nn.Embedding.from_pretrained(table.whole(), freeze=False)
    layer = torch.nn.Linear(rows.weight.shape[1], len(rows.weight), bias=head.bias is not None, device="meta")
    layer.weight = rows.weight if head.rows is table else torch.nn.Parameter(head.rows.whole())
    if head.bias is not None:
        layer.bias = torch.nn.Parameter(head.bias)
    model.set_input_embeddings(rows)
    model.set_output_embeddings(layer)
