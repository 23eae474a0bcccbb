"""Put a phrase of one pair, with its translation, into another pair that has the same words around it on both sides.

Two fragments seen in one environment may be exchanged: Andreas, Good-Enough Compositional Data Augmentation (ACL 2020). Fragments are
phrase pairs consistent with the word alignment, environments the words next to them in both languages.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from endonym.augment.aligned import Aligned
from endonym.augment.material import Context, made_pair
from endonym.data.phrases import spans_of
from endonym.types import Pair, Record


class Config(BaseModel):
    """Settings of recombination."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    longest: int = Field(3, ge=1, le=4, description="Words in an exchanged phrase, in either language, at most.")
    beside: int = Field(
        3, ge=1, le=4, description="Of the four neighbours (left and right, both languages), how many must be words."
    )
    per_pair: int = Field(2, ge=1, description="New pairs made of one pair at most.")


@dataclass(frozen=True)
class Fragment:
    """A phrase pair where it stands: words `begin` to before `end`, and `left` to before `right` of the pivot."""

    item: Aligned
    begin: int
    end: int
    left: int
    right: int

    @property
    def phrases(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return self.item.own.words[self.begin : self.end], self.item.pivot.words[self.left : self.right]

    @property
    def written(self) -> list[str]:
        """Both phrases as their texts have them; the capital of a text's first word belongs to its place."""
        own, pivot = self.item.own.written(self.begin, self.end), self.item.pivot.written(self.left, self.right)
        return [own if self.begin else own[:1].lower() + own[1:], pivot if self.left else pivot[:1].lower() + pivot[1:]]


def grow(records: Sequence[Record], cfg: Config, context: Context) -> Iterator[Pair]:
    """New pairs, each with one phrase and its translation from another pair."""
    items = context.aligned(records)
    environments: dict[tuple[str, ...], list[Fragment]] = defaultdict(list)
    for item in items:
        for fragment in _fragments(item, cfg.longest):
            around = (
                *item.own.around(fragment.begin, fragment.end),
                *item.pivot.around(fragment.left, fragment.right),
            )
            if sum(map(bool, around)) >= cfg.beside:
                environments[around].append(fragment)
    shared = [found for found in environments.values() if len({fragment.phrases for fragment in found}) > 1]
    context.log(f"recombine: {len(shared)} environments have more than one phrase")
    places = [(n, fragment) for n, found in enumerate(shared) for fragment in found]
    draw = context.random("recombine")
    draw.shuffle(places)
    of_pair: Counter[str] = Counter()
    for number, old in places:
        pair = old.item.pair
        if of_pair[pair.id] >= cfg.per_pair or context.cancelled():
            continue
        others = [one for one in shared[number] if all(a != b for a, b in zip(one.phrases, old.phrases))]
        if not others:
            continue
        new = draw.choice(others)
        of_pair[pair.id] += 1
        texts = {
            context.language: old.item.own.exchanged(old.begin, old.end, new.written[0]),
            context.pivot: old.item.pivot.exchanged(old.left, old.right, new.written[1]),
        }
        yield made_pair("recombine", pair, texts, [pair, new.item.pair], [{"from": old.written, "to": new.written}])


def _fragments(item: Aligned, longest: int) -> Iterator[Fragment]:
    """Phrase pairs that begin and end with aligned words on both sides."""
    own, pivot = {i for i, _ in item.row.links}, {j for _, j in item.row.links}
    for begin, end, left, right in spans_of(item.row):
        tight = {begin, end - 1} <= own and {left, right - 1} <= pivot
        if tight and end - begin <= longest and right - left <= longest:
            yield Fragment(item, begin, end, left, right)
