"""Read dictionaries in Standard Format (Toolbox, Shoebox, FLEx, Lexique Pro): a field a line, each with its backslash marker.

The hierarchy is that of MDF: `lx` opens an entry, `se` a subentry, which is an entry of its own, `ps` and `sn` a sense, `xv` an example.
The last letter of a marker is its language (`ge`) or, as FLEx writes it, what stands after a low line (`g_Eng`).
Glosses (`ge gn gr`) and definitions (`de dn dr`) of one sense and language are one `Sense`. Markers that MDF does not have, and those of no
record (notes, dates, sources, forms), stand in the entry's `meta` under their own name. Lines before the first entry go to the ledger.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.languages import name
from endonym.ingest.article import Article, Example, Writer
from endonym.ingest.finding import Said
from endonym.ingest.language import identify
from endonym.ingest.standard_format import fields
from endonym.types import Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.language import Known
    from endonym.ingest.sample import Sample

EXTENSIONS = (".sfm", ".mdf", ".db", ".lex", ".txt")
ENOUGH = 400
"""Texts of a field that are looked at to tell its language."""


class Config(BaseModel):
    """Settings of reading Standard Format."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language of headwords and examples; the project's when empty.")
    pivot: str = Field("", description="Language of the glosses to take; the project's pivot when empty.")
    languages: dict[str, str] = Field(
        {},
        description="Language of fields, by marker (ge, g_Eng) or its end (e, n, r, Eng); e is English when nothing is said.",
    )
    markers: dict[str, str] = Field(
        {}, description="Markers of your own and the MDF marker each stands for, such as { ej = 'xv', tr = 'xn' }."
    )
    encoding: str = Field("", description="Encoding of the file; found when empty.")


def sniff(sample: Sample) -> float:
    """High where lines begin with markers and one of them opens an entry."""
    marked = re.findall(r"^[ \t]*\\([A-Za-z_0-9]+)(?=\s|$)", sample.head, re.M)
    if "lx" not in marked:
        return 0.0
    filled = sum(bool(line.strip()) for line in sample.head.splitlines())
    # Fields may run over many lines; LaTeX has few markers that are not followed by a brace, and no lx.
    return 0.95 if len(marked) > 0.25 * filled else 0.3


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).parent.with_name("mdf.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=4096)
def _role(marker: str) -> tuple[str, str]:
    """What an MDF marker is for, and the letter or tag of its language."""
    table = _table()
    base, _, tag = marker.partition("_")
    if base and tag:
        begun = next((role for role, starts in table["by_language"].items() if base in starts), "")
        return (begun, tag) if begun else _role(base)
    for role, markers in table.items():
        if isinstance(markers, list) and marker in markers:
            return role, ""
    if len(marker) == 2:
        for role, starts in table["by_language"].items():
            if marker[0] in starts and marker[1] in "enrv":
                return role, marker[1]
    return "", ""


def languages(sample: Sample, values: dict[str, Any], known: Known) -> list[Said]:
    """Which language each gloss field is in: as set, else by its texts, for many write Spanish or French where MDF expects English."""
    markers: dict[str, str] = dict(values.get("markers") or {})
    if own := _example_marker(sample.path, markers, str(values.get("encoding") or "")):
        markers[own] = "xv"
        values["markers"] = markers
    told: dict[str, str] = dict(values.get("languages") or {})
    texts: dict[str, list[str]] = defaultdict(list)
    for _, marker, text in fields(sample.path, str(values.get("encoding") or "")):
        role, letter = _role(markers.get(marker, marker))
        if role in ("headword", "example"):
            texts["v"].append(text)
        elif letter and len(texts[letter]) < ENOUGH and text:
            texts[letter].append(text)
    values["language"] = values.get("language") or known.language
    found = [Said("headwords", str(values["language"]), "taken from the project")]
    letters = [one for one in dict.fromkeys([*"enr", *texts]) if one != "v" and texts[one]]
    for letter in letters:
        said = _of_letter(letter, texts[letter], told, known)
        found.append(said)
        if said.language:
            told[letter] = said.language
            known.learn(said.language, texts[letter])
    if told:
        values["languages"] = told
    if not values.get("pivot"):
        spoken = [told[letter] for letter in letters if told.get(letter)]
        values["pivot"] = known.pivot if known.pivot in spoken or not spoken else spoken[0]
    return found


def _example_marker(path: Path, markers: Mapping[str, str], encoding: str) -> str:
    """The marker of their own that examples have where none is MDF's: the first of those that stand before nearly every translation."""
    before: list[list[str]] = []
    run: list[str] = []
    for number, (_, marker, _) in enumerate(fields(path, encoding)):
        role, _ = _role(markers.get(marker, marker))
        if role == "example":
            return ""
        if role == "translation":
            before.append(run)
        run = [] if role else [*run, marker]
        if number > 20_000:
            break
    counts = Counter(marker for run in before for marker in set(run))
    usual = [marker for marker, number in counts.items() if len(before) >= 5 and number > 0.8 * len(before)]
    shortest = min((run for run in before if set(usual) <= set(run)), key=len, default=[])
    return next((marker for marker in shortest if marker in usual), "")


def _of_letter(letter: str, texts: list[str], told: Mapping[str, str], known: Known) -> Said:
    part = " ".join(f"{start}{'' if len(letter) == 1 else '_'}{letter}" for start in "gdx")
    if told.get(letter):
        return Said(part, told[letter], "as set")
    for code in (known.pivot, known.language):
        if len(letter) > 1 and letter.casefold() in (code, name(code).casefold()[: len(letter)]):
            return Said(part, code, "the marker says so")
    usual = _table()["languages"].get(letter, "")
    guessed = identify(texts, known)
    if guessed.code and guessed.code != known.language and not guessed.how.startswith("taken for"):
        return Said(part, guessed.code, guessed.how)
    if usual:
        return Said(part, usual, f"MDF writes {name(usual)} there")
    if letter == "n" and known.pivot != "eng":
        return Said(part, known.pivot, "the national language; taken from the project")
    return Said(part, "", guessed.how)


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield an `Entry` for every entry and subentry and a `Pair` for every example and translation. Raises DataError."""
    writer = Writer(path, "toolbox", cfg.language, cfg.pivot)
    yield from writer.records(_articles(path, cfg, writer))


def _articles(path: Path, cfg: Config, writer: Writer) -> Iterator[Article | Drop]:
    opens = _record_marker(path, cfg)
    entry = _Entry(cfg)
    before: list[tuple[int, str, str]] = []
    for line, marker, text in fields(path, cfg.encoding):
        mdf = cfg.markers.get(marker, marker)
        if mdf == opens:
            yield from entry.finish()
            entry = _Entry(cfg)
        if not entry.articles and mdf != opens:
            before.append((line, marker, text))
            continue
        yield from entry.add(line, marker, mdf, text)
    yield from entry.finish()
    for line, marker, text in before:
        # `\_sh v3.0 400 MDF` names the kind of file; it is no material.
        if not marker.startswith("_") and text:
            yield writer.left(
                f"\\{marker} {text}".strip(), line, "before_first_entry", "it stands before the first entry"
            )


def _record_marker(path: Path, cfg: Config) -> str:
    """The marker every entry begins with: `lx`, or a key that stands right before it everywhere."""
    counts: Counter[str] = Counter()
    before: Counter[str] = Counter()
    first = last = ""
    for number, (_, marker, _) in enumerate(fields(path, cfg.encoding)):
        mdf = cfg.markers.get(marker, marker)
        first = first or ("" if marker.startswith("_") else mdf)
        counts[mdf] += 1
        if mdf == "lx":
            before[last] += 1
        last = mdf
        if number > 20_000:
            break
    return first if first != "lx" and counts["lx"] and before[first] >= 0.9 * counts["lx"] else "lx"


@dataclass
class _Entry:
    """An entry with its subentries while its fields come in."""

    cfg: Config
    articles: list[Article] = field(default_factory=list)
    said: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Meanings of the sense that is open, by language."""
    example: Example | None = None
    reference: str = ""
    relation: str = ""

    def add(self, line: int, marker: str, mdf: str, text: str) -> Iterator[Article]:
        """Take one field in; yields a subentry's article when the next one begins."""
        role, letter = _role(mdf)
        if not self.articles:
            self.articles.append(Article(line))
        here = self.articles[-1]
        if role == "subentry":
            self._close_sense()
            if len(self.articles) > 1:
                yield self.articles.pop()
            self.articles.append(Article(line, text, main=self.articles[0].headword))
        elif role == "headword" and not here.headword:
            here.headword, here.line = text, line
        elif role in ("part_of_speech", "sense"):
            self._close_sense()
            if role == "part_of_speech" and text:
                here.class_is(marker, text)
        elif role == "homograph" and not here.homograph:
            here.homograph = text
        elif role == "meaning" and text:
            self.said[self._language(mdf, letter)].append(text)
        elif role == "example":
            self._close_example()
            self.example = Example(text, line=line, meta={"reference": self.reference} if self.reference else {})
            self.reference = ""
        elif role == "translation" and text:
            self.example = self.example or Example(line=line)
            self.example.translations.append((self._language(mdf, letter), text))
        elif role == "example_reference":
            self._close_example()
            self.reference = text
        else:
            self._beside(role, marker, mdf, text)

    def finish(self) -> Iterator[Article]:
        """The articles that are still open, the entry before its last subentry."""
        self._close_sense()
        yield from self.articles

    def _beside(self, role: str, marker: str, mdf: str, text: str) -> None:
        here = self.articles[-1]
        if role == "variant" and text:
            here.variants.append(text)
        elif mdf == "lf":
            kind, _, word = text.partition("=")
            self.relation = kind.strip() or "lf"
            here.refer(self.relation, word.strip())
        elif mdf == "lv":
            here.refer(self.relation or "lv", text)
        elif role == "reference":
            here.refer(marker, text)
        else:
            here.note(marker, text)

    def _language(self, mdf: str, letter: str) -> str:
        told = self.cfg.languages
        if letter == "v":
            return self.cfg.language
        usual = _table()["languages"].get(letter, self.cfg.pivot if letter == "n" else "")
        return told.get(mdf) or told.get(letter) or usual

    def _close_example(self) -> None:
        if self.example and (self.example.text or self.example.translations):
            self.articles[-1].examples.append(self.example)
        if self.articles:
            self.articles[-1].note("rf", self.reference)
        self.example, self.reference = None, ""

    def _close_sense(self) -> None:
        self._close_example()
        for language, texts in self.said.items():
            self.articles[-1].mean(language, texts)
        self.said.clear()
        self.relation = ""
