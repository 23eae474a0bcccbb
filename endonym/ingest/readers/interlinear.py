"""Read interlinear texts of Toolbox and Shoebox: a record a sentence, with lines of words, morphemes, glosses and free translations.

Markers are those of Toolbox's own text projects (`ref tx mb ge ps ft`) or the shorter ones of Shoebox (`t m g p f`). Lines that a long
sentence was wrapped into are put together, and the blanks that align them are taken out. Which language each free translation is in
(`ft`, `fe`, `fn`) is told by what stands there; those in other languages than the pivot go to the ledger.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.ingest.finding import Said
from endonym.ingest.ids import Ids
from endonym.ingest.language import identify
from endonym.ingest.standard_format import fields
from endonym.types import Doc, Drop, Entry, Pair, Record, Sense

if TYPE_CHECKING:
    from endonym.ingest.language import Known
    from endonym.ingest.sample import Sample

EXTENSIONS = (".txt", ".sfm", ".itx", ".db")
TEXT = ("tx", "t", "txt")
MORPHEMES = ("mb", "m", "mr")
GLOSSES = ("ge", "g", "gl")
_FREE = re.compile(r"f[tgenr]?(_\w+)?")
ENOUGH = 400
"""Texts of a field that are looked at to tell its language."""


class Config(BaseModel):
    """Settings of reading interlinear texts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language of the texts; the project's when empty.")
    pivot: str = Field("", description="Language of the translations to take; the project's pivot when empty.")
    languages: dict[str, str] = Field(
        {}, description="Language of free translations by marker, such as { ft = 'eng' }."
    )
    markers: dict[str, str] = Field(
        {}, description="Markers of your own and the one each stands for, such as { utt = 'tx', trs = 'ft' }."
    )
    entries: bool = Field(True, description="Make dictionary entries of the stems that are glossed.")
    encoding: str = Field("", description="Encoding of the file; found when empty.")


def sniff(sample: Sample) -> float:
    """High where records begin with a reference and have a line of text."""
    marked = set(re.findall(r"^[ \t]*\\([A-Za-z_0-9]+)(?=\s|$)", sample.head, re.M))
    return 0.95 if "ref" in marked and marked & set(TEXT) and "lx" not in marked else 0.0


def languages(sample: Sample, values: dict[str, Any], known: Known) -> list[Said]:
    """Which language each free translation is in: as set, else by what stands there."""
    texts: dict[str, list[str]] = defaultdict(list)
    own: dict[str, str] = values.get("markers") or {}
    for _, marker, text in fields(sample.path, str(values.get("encoding") or "")):
        if text and _FREE.fullmatch(own.get(marker, marker)) and len(texts[marker]) < ENOUGH:
            texts[marker].append(_even(text))
    told: dict[str, str] = dict(values.get("languages") or {})
    values["language"] = values.get("language") or known.language
    found = [Said("texts", str(values["language"]), "taken from the project")]
    for marker, said in texts.items():
        guessed = identify(said, known)
        if told.get(marker):
            found.append(Said(marker, told[marker], "as set"))
            continue
        sure = guessed.code and guessed.code != known.language and not guessed.how.startswith("taken for")
        # The only translation there is can hardly be in another language than the one everything else is in.
        code = guessed.code if sure else known.pivot if len(texts) == 1 else ""
        found.append(Said(marker, code, guessed.how if sure or not code else f"{guessed.how}; taken from the project"))
        told[marker] = code
        if code:
            known.learn(code, said)
    values["languages"] = told
    spoken = [told[marker] for marker in texts if told.get(marker)]
    if not values.get("pivot"):
        values["pivot"] = known.pivot if known.pivot in spoken or not spoken else spoken[0]
    return found


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Pair` (or `Doc`) for every sentence and an `Entry` for every stem and gloss. Raises DataError."""
    text = _Text(path, cfg)
    for line, marker, said in fields(path, cfg.encoding):
        kind = cfg.markers.get(marker, marker)
        if kind in ("ref", "id"):
            yield from text.sentence()
        if kind == "id":
            text.document, text.part = said or path.stem, 0
        elif kind == "ref" or text.line:
            text.line = text.line or line
            text.lines.append((marker, kind, _even(said)))
        elif said and not marker.startswith("_"):
            doc = Doc(
                text.ids(marker, said), f"\\{marker} {said}", "", f"{path.name}:{line}", {"document": text.document}
            )
            yield Drop(doc, "interlinear.about", "it says something about the text")
    yield from text.sentence()


class _Text:
    """The text that is being read, and the sentence that is open."""

    def __init__(self, path: Path, cfg: Config):
        self.path, self.cfg, self.ids = path, cfg, Ids()
        self.document, self.part, self.line = path.stem, 0, 0
        self.lines: list[tuple[str, str, str]] = []
        """Marker, what it stands for, and the text of every field of the sentence."""
        self.entries: set[tuple[str, str]] = set()

    def sentence(self) -> Iterator[Record | Drop]:
        """The records of the sentence that is open, which it closes."""
        lines, self.lines, line, self.line = self.lines, [], self.line, 0
        cfg, origin = self.cfg, f"{self.path.name}:{line}"
        own = " ".join(said for _, kind, said in lines if kind in TEXT and said)
        free = [(marker, said) for marker, kind, said in lines if _FREE.fullmatch(kind) and said]
        told = {marker: cfg.languages.get(marker, cfg.pivot) for marker, _ in free}
        target = " ".join(said for marker, said in free if told[marker] == cfg.pivot)
        rest: dict[str, list[str]] = defaultdict(list)
        for marker, kind, said in lines:
            if said and kind not in TEXT and not _FREE.fullmatch(kind):
                rest[marker].append(said)
        if not lines or not (own or free or rest):
            return
        self.part += 1
        meta = {"document": self.document, "part": self.part, "fields": dict(rest)}
        if own and target:
            yield Pair(
                self.ids("pair", cfg.language, own, cfg.pivot, target),
                own,
                target,
                cfg.language,
                cfg.pivot,
                origin,
                meta,
            )
        elif own:
            yield Doc(self.ids("doc", cfg.language, own), own, cfg.language, origin, meta)
        else:
            said = target or " | ".join(text for texts in rest.values() for text in texts)
            yield Drop(
                Doc(self.ids("doc", said), said, cfg.pivot if target else "", origin, meta),
                "interlinear.no_text",
                "the sentence has no line of text",
            )
        for marker, said in free:
            if told[marker] != cfg.pivot:
                doc = Doc(self.ids(marker, said), said, told[marker], origin, {"document": self.document})
                why = f"{marker} is in {told[marker] or 'a language not known'}, wanted {cfg.pivot}"
                yield Drop(doc, "interlinear.other_language", why)
        yield from self._stems(lines, origin)

    def _stems(self, lines: list[tuple[str, str, str]], origin: str) -> Iterator[Entry]:
        """Stems with their glosses, where as many glosses as morphemes stand below one another."""
        above: list[str] = []
        for _, kind, said in lines if self.cfg.entries else ():
            if kind in MORPHEMES:
                above = said.split()
            elif kind in GLOSSES:
                below = said.split()
                for stem, gloss in zip(above, below) if len(above) == len(below) else ():
                    # Affixes and clitics are tied by hyphens; labels of grammar are in capitals (Leipzig Glossing Rules, rules 2 and 3).
                    bound = set("-=~") & {stem[0], stem[-1]}
                    if not bound and not gloss.isupper() and gloss.strip("*?") and (stem, gloss) not in self.entries:
                        self.entries.add((stem, gloss))
                        yield Entry(
                            self.ids("entry", stem, gloss),
                            stem,
                            self.cfg.language,
                            (Sense(gloss, self.cfg.pivot),),
                            origin,
                        )
                above = []


def _even(text: str) -> str:
    return " ".join(text.split())
