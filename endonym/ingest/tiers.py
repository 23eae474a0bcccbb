"""Transcripts in tiers: tell which tier is the text and which its translation, and pair what belongs together."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.languages import language
from endonym.errors import DataError, Problem
from endonym.ingest.columns import language_of
from endonym.ingest.ids import Ids
from endonym.ingest.language import Known, identify
from endonym.ingest.timing import Span, beads
from endonym.types import Doc, Drop, Pair, Record

OTHER = "-"
"""Stands for the language of a tier that is no running text."""


class TierConfig(BaseModel):
    """Settings that readers of transcripts in tiers share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language that is documented; the project's when empty.")
    pivot: str = Field("", description="Language of the translations; the project's pivot when empty.")
    tiers: dict[str, str] = Field(
        {}, description='Language of tiers by their name or type, as {tx = "tzh", ft = "spa"}; "-" leaves a tier out.'
    )
    floor: float = Field(0.3, ge=0, le=1, description="Shared time below which a pair goes to the ledger.")


@dataclass(frozen=True)
class Annotation(Span):
    """A text on a tier; `key` names it, `parent` the annotation it says something about."""

    key: str = ""
    parent: str = ""


@dataclass
class Tier:
    """One line of a transcript: its name and type, what it says of its language, and its annotations in order."""

    name: str
    kind: str = ""
    declared: str = ""
    """Code of the language the file gives it."""
    speaker: str = ""
    depends: bool = False
    """Whether its annotations are about those of another tier."""
    annotations: list[Annotation] = field(default_factory=list)
    language: str = ""
    how: str = ""


@lru_cache(maxsize=1)
def names() -> dict[str, frozenset[str]]:
    """Names of tiers by the part they play."""
    table = tomllib.loads(Path(__file__).with_name("tiers.toml").read_text(encoding="utf-8"))
    return {role: frozenset(words) for role, words in table.items()}


def read_tiers(path: Path, tiers: Sequence[Tier], cfg: TierConfig, reader: str) -> Iterator[Record | Drop]:
    """Yield a `Pair` for every text with its translation, a `Doc` for every other text; the rest goes to the ledger."""
    filled = [tier for tier in tiers if any(one.text.strip() for one in tier.annotations)]
    _name_languages(filled, cfg)
    _set_words_apart(filled, cfg)
    texts = [tier for tier in filled if tier.language == cfg.language]
    translations = [tier for tier in filled if tier.language == cfg.pivot]
    if not texts and not translations:
        raise _nothing(path, filled, cfg)
    work = _Work(path, cfg, reader)
    parents = {one.key: one.parent for tier in tiers for one in tier.annotations if one.key}
    for tier in filled:
        if tier.language not in (cfg.language, cfg.pivot):
            yield from work.left_out(tier)
    tops = {id(tier): {_top(one, parents) for one in tier.annotations if one.key} for tier in filled}
    used: set[int] = set()
    for tier in texts:
        left = [other for other in translations if id(other) not in used]
        hanging = [other for other in left if tops[id(tier)] & tops[id(other)]]
        beside = hanging or [other for other in left if speaker_of(other) == speaker_of(tier)]
        if not beside and not any(speaker_of(other) == speaker_of(tier) for other in translations):
            beside = [other for other in left if not speaker_of(other)]
        beside = beside[:1]
        used.update(map(id, beside))
        yield from work.paired(tier, beside[0] if beside else None, parents)
    for tier in translations:
        if id(tier) not in used:
            yield from work.paired(tier, None, parents)


def speaker_of(tier: Tier) -> str:
    """Who speaks: what the file says, else the code behind `@` in the tier's name."""
    return tier.speaker or (tier.name.partition("@")[2] if "@" in tier.name else "")


def plain_name(name: str) -> str:
    """A tier's name without speaker code, marks and case."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFC", name.partition("@")[0]).casefold())


def _name_languages(tiers: Sequence[Tier], cfg: TierConfig) -> None:
    """Decide the language of each tier: as set, as the file says, by its name or type, by what stands in it."""
    for tier in tiers:
        tier.language, tier.how = _by_mark(tier, cfg)
    roots = [tier for tier in tiers if not tier.language and not tier.depends]
    for tier in [tier for tier in tiers if not tier.language]:
        sample = [one.text for one in tier.annotations[:200]]
        if not any(char.isalpha() for text in sample for char in text):
            tier.language, tier.how = OTHER, "it has no letters"
            continue
        guessed = identify(sample, Known(cfg.language, cfg.pivot))
        if guessed.code:
            tier.language, tier.how = guessed.code, guessed.how
        elif tier in roots:
            tier.language, tier.how = cfg.language, f"{guessed.how}; taken from the project"
        else:
            tier.language, tier.how = OTHER, "neither its name nor its text tells its language"


def _set_words_apart(tiers: Sequence[Tier], cfg: TierConfig) -> None:
    """A tier that has the words of another one by one (from forced alignment) is that text again, and no text of its own."""
    same = [tier for tier in tiers if tier.language == cfg.language and tier.how != "as set"]
    words = {id(tier): Counter(word for one in tier.annotations for word in one.text.split()) for tier in same}
    for tier in same:
        single = sum(len(one.text.split()) <= 1 for one in tier.annotations)
        for other in same:
            mine, theirs = words[id(tier)], words[id(other)]
            finer = len(tier.annotations) > 1.5 * len(other.annotations) and single >= 0.8 * len(tier.annotations)
            if finer and other.language != OTHER and (mine & theirs).total() >= 0.8 * mine.total():
                tier.language, tier.how = OTHER, f"it has the words of the tier {other.name} one by one"
                break


def _by_mark(tier: Tier, cfg: TierConfig) -> tuple[str, str]:
    for name in (tier.name, tier.kind, tier.name.partition("@")[0]):
        if name in cfg.tiers:
            code = cfg.tiers[name]
            return (code if code == OTHER else language(code).code), "as set"
    role = next((role for name in (tier.name, tier.kind) if (role := _role(name))), "")
    if role == "other":
        return OTHER, "its name says that it is no running text"
    if tier.declared:
        return tier.declared, "the file says so"
    for name in (tier.name, tier.kind):
        code = _in_name(name.partition("@")[0], cfg)
        if code:
            return code, "its name says so"
    if role == "text":
        return cfg.language, "its name says that it is the text"
    return (cfg.pivot, "its name says that it is the translation") if role == "translation" else ("", "")


def _role(name: str) -> str:
    """The part a tier plays by its whole name, or by its last or first word (`Ana - words`); `""` when it does not tell."""
    pieces = [piece for piece in re.split(r"[\W\d_]+", name.partition("@")[0].casefold()) if piece]
    for said in (plain_name(name), *(piece for piece in (*pieces[-1:], *pieces[:1]) if len(piece) > 3)):
        for role in ("text", "translation", "other"):
            if said in names()[role]:
                return role
    return ""


def _in_name(name: str, cfg: TierConfig) -> str:
    """A language in a tier's name: the whole name, a piece with its code, or the project's two-letter code at the end (`ft-es`)."""
    pieces = [piece for piece in re.split(r"[\W_]+", name.casefold()) if piece]
    for piece in reversed(pieces):
        if piece in (cfg.language, cfg.pivot):
            return piece
        if len(piece) > 3 and language_of(piece):
            return language_of(piece)
    if len(name) > 2 and language_of(name):
        return language_of(name)
    # Two letters are more often a speaker's initials than a language, but for those of the project.
    last = language(pieces[-1]).code if pieces and len(pieces[-1]) == 2 else ""
    return last if last in (cfg.language, cfg.pivot) else ""


def _nothing(path: Path, tiers: Sequence[Tier], cfg: TierConfig) -> DataError:
    found = ", ".join(f"'{tier.name}' ({len(tier.annotations)}, {tier.language or 'unknown'})" for tier in tiers)
    return DataError(Problem(path.name, 0, "tiers", f"no tier has text in {cfg.language} or {cfg.pivot}",
                             f"name them in the source's settings, as tiers = {{tx = \"{cfg.language}\"}}; it has: {found or 'no text'}"))  # fmt: skip


class _Work:
    """The records of one transcript."""

    def __init__(self, path: Path, cfg: TierConfig, reader: str):
        self.path, self.cfg, self.reader = path, cfg, reader
        self.ids = Ids()
        self.part = 0

    def doc(self, tier: Tier, code: str, one: Annotation) -> Doc:
        self.part += 1
        meta: dict[str, Any] = {"document": self.path.stem, "part": self.part, "tier": tier.name}
        meta |= {"start": round(one.start, 3), "end": round(one.end, 3)} if one.end > 0 else {}
        speaker = one.speaker or speaker_of(tier)
        meta |= {"speaker": speaker} if speaker else {}
        ident = self.ids("doc", tier.name, code, one.text)
        return Doc(ident, one.text, code, f"{self.path.name}:{one.line}", meta)

    def left_out(self, tier: Tier) -> Iterator[Drop]:
        other = tier.language == OTHER
        why, detail = ("other_tier", tier.how) if other else ("other_language", f"{tier.language}: {tier.how}")
        for one in tier.annotations:
            if one.text.strip():
                doc = self.doc(tier, "" if other else tier.language, one)
                yield Drop(doc, f"{self.reader}.{why}", f"tier {tier.name}: {detail}")

    def paired(self, tier: Tier, other: Tier | None, parents: Mapping[str, str]) -> Iterator[Record | Drop]:
        said, theirs = tier.annotations, other.annotations if other else []
        for owner in (tier, other) if other else (tier,):
            for item in filter(_is_pause, owner.annotations):
                yield Drop(self.doc(owner, owner.language, item), f"{self.reader}.pause", "a mark for silence")
        said, theirs = ([one for one in side if one.text.strip() and not _is_pause(one)] for side in (said, theirs))
        for one, there, confidence in _together(said, theirs, parents):
            if one and there and other:
                pair = self.pair(tier, other, one, there, confidence)
                low = confidence < self.cfg.floor
                detail = f"{confidence:.2f}, floor {self.cfg.floor:.2f}"
                yield Drop(pair, f"{self.reader}.little_overlap", detail) if low else pair
                continue
            for owner, alone in ((tier, one), (other or tier, there)):
                for item in alone:
                    yield self.doc(owner, owner.language, item)

    def pair(
        self, tier: Tier, other: Tier, one: Sequence[Annotation], there: Sequence[Annotation], sure: float
    ) -> Pair:
        self.part += 1
        source, target = (" ".join(item.text for item in side) for side in (one, there))
        speaker = one[0].speaker or speaker_of(tier)
        meta: dict[str, Any] = {"document": self.path.stem, "part": self.part, "tiers": [tier.name, other.name],
                                "confidence": round(sure, 3)}  # fmt: skip
        meta |= {"start": round(one[0].start, 3), "end": round(one[-1].end, 3)} if one[-1].end > 0 else {}
        meta |= {"speaker": speaker} if speaker else {}
        ident = self.ids("pair", tier.language, source, other.language, target)
        return Pair(ident, source, target, tier.language, other.language, f"{self.path.name}:{one[0].line}", meta)


def _is_pause(one: Annotation) -> bool:
    return one.text.strip().casefold() in names()["pause"]


_Group = tuple[list[Annotation], list[Annotation], float]


def _together(one: Sequence[Annotation], other: Sequence[Annotation], parents: Mapping[str, str]) -> Iterator[_Group]:
    """Groups of annotations that say the same: by the annotation both hang from where there is one, else by time."""
    tops = [_top(item, parents) for item in (*one, *other)]
    first, second = tops[: len(one)], tops[len(one) :]
    if other and set(first) & set(second):
        groups: dict[str, tuple[list[Annotation], list[Annotation]]] = defaultdict(lambda: ([], []))
        for top, item in zip(first, one):
            groups[top][0].append(item)
        for top, item in zip(second, other):
            groups[top][1].append(item)
        yield from ((a, b, 1.0) for a, b in groups.values())
        return
    for bead in beads(one, other):
        yield [one[i] for i in bead.source], [other[j] for j in bead.target], bead.confidence


def _top(item: Annotation, parents: Mapping[str, str]) -> str:
    key, seen = item.key, set()
    while parents.get(key) and key not in seen:
        seen.add(key)
        key = parents[key]
    return key or f"line {item.line}"
