"""Write the text that is asked about as a scanner might have read it, so that the model answers scanned text too.

Only what is asked is changed; the answer stays right. Which characters are taken for which is learned from the project's own corrections
of scans where there are any, and otherwise from a small table for the script.
"""

from __future__ import annotations

import json
import random
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from endonym.augment.material import Context, made_pair
from endonym.data.scripts import dominant_script
from endonym.types import Pair, Record

READS = ("corrections",)
SHORTEST = 8
"""Characters a text must have: of a shorter one too little is left."""
TOO_LONG = 3
"""A correction of more characters at once says nothing of single characters."""


class Config(BaseModel):
    """Settings of noise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float = Field(0.04, gt=0, le=0.5, description="Share of the characters that are changed, at least one.")
    corrections: list[str] = Field(
        ["review.jsonl"],
        description="Files of corrections: JSON lines with `was` (as it was read) and `text` (what is right).",
    )
    least: int = Field(
        20,
        ge=1,
        description="Corrected characters from which the project's own corrections take the place of the table.",
    )


@dataclass(frozen=True)
class Confusions:
    """What is read for what: by what stands there, the readings with their weights."""

    rows: Mapping[str, Sequence[tuple[str, float]]]
    longest: int

    @classmethod
    def of(cls, counts: Mapping[tuple[str, str], float]) -> Confusions:
        rows: dict[str, list[tuple[str, float]]] = defaultdict(list)
        for (right, read), weight in sorted(counts.items()):
            rows[right].append((read, weight))
        return cls(rows, max(map(len, rows), default=0))

    def spoiled(self, text: str, rate: float, draw: random.Random) -> tuple[str, list[tuple[str, str]]]:
        """`text` with about `rate` of its characters misread, and what was read for what; unchanged where nothing can be."""
        places = [
            (at, size)
            for at in range(len(text))
            for size in range(1, self.longest + 1)
            if text[at : at + size] in self.rows and len(text[at : at + size]) == size
        ]
        # What is confused often is misread more often than what is confused seldom.
        weights = [sum(weight for _, weight in self.rows[text[at : at + size]]) for at, size in places]
        wanted = max(1, round(rate * len(text)))
        chosen: dict[int, int] = {}
        taken: set[int] = set()
        for _ in range(4 * wanted):
            if len(chosen) == wanted or not places:
                break
            at, size = draw.choices(places, weights)[0]
            if taken.isdisjoint(range(at, at + size)):
                chosen[at] = size
                taken |= set(range(at, at + size))
        pieces, position, said = [], 0, []
        for at, size in sorted(chosen.items()):
            right = text[at : at + size]
            readings = self.rows[right]
            read = draw.choices([r for r, _ in readings], [w for _, w in readings])[0]
            pieces += [text[position:at], read]
            position = at + size
            said.append((right, read))
        return "".join([*pieces, text[position:]]), said


def grow(records: Sequence[Record], cfg: Config, context: Context) -> Iterator[Pair]:
    """For each pair a copy with one side misread, to be asked about from there; sides take turns."""
    known = _Known(cfg, context)
    pairs = [r for r in records if isinstance(r, Pair) and r.between(context.language, context.pivot)]
    draw = context.random("noise")
    draw.shuffle(pairs)
    sides = (context.language, context.pivot)
    for turn in range(2):
        for number, pair in enumerate(pairs):
            made = _misread(pair, sides[(number + turn) % 2], known, cfg, draw)
            if made is not None:
                yield made


def spoil(record: Record, cfg: Config, context: Context) -> list[Record]:
    """A held-out pair as it is asked when scanned: once from each side, misread there."""
    if not isinstance(record, Pair) or not record.between(context.language, context.pivot):
        return []
    draw, known = context.random(f"noise:{record.id}"), _Known(cfg, context)
    made = [_misread(record, language, known, cfg, draw) for language in (context.language, context.pivot)]
    return [one for one in made if one is not None]


def _misread(pair: Pair, language: str, known: _Known, cfg: Config, draw: random.Random) -> Pair | None:
    text = pair.text(language)
    other = pair.target_language if language == pair.source_language else pair.source_language
    if len(text) < SHORTEST or not pair.text(other):
        return None
    read, said = known.confusions(text).spoiled(text, cfg.rate, draw)
    if read == text or not read.strip():
        return None
    texts = {language: read, other: pair.text(other)}
    exchanged = [{"from": [right], "to": [wrong]} for right, wrong in said]
    return made_pair("noise", pair, texts, [pair], exchanged, f"{language}>{other}")


class _Known:
    """The confusions for a text: the project's own where there are enough, else those of its script."""

    def __init__(self, cfg: Config, context: Context):
        counts: Counter[tuple[str, str]] = Counter()
        for name in cfg.corrections:
            path = context.project / Path(name).expanduser()
            if path.is_file():
                counts += learned(path)
        self.own = Confusions.of(counts) if counts.total() >= cfg.least else None
        if self.own is not None:
            context.log(f"noise: {counts.total()} corrected characters tell what is read for what")
        self.tables: dict[str, Confusions] = {}

    def confusions(self, text: str) -> Confusions:
        if self.own is not None:
            return self.own
        script = dominant_script(text)
        if script not in self.tables:
            self.tables[script] = table(script)
        return self.tables[script]


def table(script: str) -> Confusions:
    """The shipped confusions of a script, with those of every script."""
    shipped = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    rows = [*shipped["Zyyy"]["rows"], *shipped.get(script, {}).get("rows", [])]
    return Confusions.of({(right, read): float(weight) for right, read, weight in rows})


def learned(path: Path) -> Counter[tuple[str, str]]:
    """Characters of corrected texts and what was read for them, from JSON lines with `was` and `text`; other lines say nothing."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in path.read_text(encoding="utf-8").split("\n"):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        was, text = (str(row.get(key) or "") for key in ("was", "text")) if isinstance(row, dict) else ("", "")
        if not was or not text or was == text:
            continue
        for kind, a, b, c, d in SequenceMatcher(None, text, was, autojunk=False).get_opcodes():
            if kind in ("replace", "delete") and b - a <= TOO_LONG and d - c <= TOO_LONG:
                counts[text[a:b], was[c:d]] += 1
    return counts
