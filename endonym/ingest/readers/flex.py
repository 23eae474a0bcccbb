"""Read interlinear texts of FLEx (.flextext): phrases with free translations, and their glossed words and morphemes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.languages import language
from endonym.errors import DataError, Problem
from endonym.ingest.ids import Ids
from endonym.ingest.xml_stream import Node, nodes
from endonym.types import Doc, Drop, Entry, Pair, Record, Sense, record_id

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".flextext",)
_STEMS = ("", "stem", "root", "bound root", "bound stem", "phrase", "discontiguous phrase", "particle")
"""Types of morphemes that are headwords of a dictionary; affixes and clitics have grammatical labels for glosses."""


class Config(BaseModel):
    """Settings of reading FLEx texts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language of the texts; the project's when empty.")
    pivot: str = Field("", description="Language of glosses and translations; the project's pivot when empty.")
    entries: bool = Field(True, description="Make dictionary entries of the stems and words that are glossed.")


def sniff(sample: Sample) -> float:
    """High where the file starts as an interlinear document does."""
    if not sample.begins("document", "interlinear-text"):
        return 0.0
    return 0.95 if "<interlinear-text" in sample.head or ('lang="' in sample.head and "<phrase" in sample.head) else 0.0


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Pair` (or `Doc`) for every phrase and an `Entry` for every stem and gloss; other languages go to the ledger."""
    book = _Book(path, cfg)
    for node in nodes(path, ("phrase", "item")):
        if node.tag == "item":
            # Outside of phrases stand titles, sources and comments of the text.
            yield from book.about(node)
        else:
            yield from book.phrase(node)
    if not book.kept:
        raise book.nothing()


class _Book:
    """The records of one file and the entries made so far."""

    def __init__(self, path: Path, cfg: Config):
        self.path, self.cfg, self.ids = path, cfg, Ids()
        self.entries: set[str] = set()
        self.languages: dict[str, int] = {}
        self.document = path.stem
        self.part = self.kept = 0

    def nothing(self) -> DataError:
        found = ", ".join(f"{code} ({number})" for code, number in self.languages.items()) or "no text"
        return DataError(Problem(self.path.name, 0, "lang", f"no phrase is in {self.cfg.language}",
                                 f"the file has {found}; set language in the source's settings"))  # fmt: skip

    def origin(self, node: Node) -> str:
        return f"{self.path.name}:{node.line}"

    def about(self, item: Node) -> Iterator[Drop]:
        text = item.text().strip()
        if item.get("type") == "title" and text:
            self.document = text
        if text:
            doc = Doc(self.ids("about", text), text, _code(item), self.origin(item), {"document": self.document})
            yield Drop(doc, f"flex.{item.get('type') or 'item'}", "it says something about the text")

    def phrase(self, node: Node) -> Iterator[Record | Drop]:
        self.part += 1
        words = [_Word(word) for word in node.inside("word")]
        items = [(item, item.get("type"), item.text().strip()) for item in node.children("item")]
        said = {_code(item): text for item, kind, text in items if kind == "txt" and text}
        for code in said or {code for word in words for code in word.forms}:
            self.languages[code] = self.languages.get(code, 0) + 1
        text = said.get(self.cfg.language) or _joined(words, self.cfg.language)
        free = [(item, text) for item, kind, text in items if kind == "gls" and text]
        target = next((text for item, text in free if _code(item) == self.cfg.pivot), "")
        meta = self.meta(node, words, items)
        origin, cfg = self.origin(node), self.cfg
        if text and target:
            ident = self.ids("pair", cfg.language, text, cfg.pivot, target)
            yield Pair(ident, text, target, cfg.language, cfg.pivot, origin, meta)
        elif text or target:
            code = cfg.language if text else cfg.pivot
            yield Doc(self.ids("doc", code, text or target), text or target, code, origin, meta)
        self.kept += bool(text)
        used = (text, target)
        for item, kind, other in items:
            if other and kind != "segnum" and not (other in used and _code(item) in (cfg.language, cfg.pivot)):
                doc = Doc(self.ids(kind, other), other, _code(item), self.origin(item), {"document": self.document})
                why = kind if kind not in ("txt", "gls") else "other_language"
                yield Drop(
                    doc,
                    f"flex.{why}",
                    f"{_code(item) or 'no language'}: it is neither the text nor its free translation",
                )
        for word in words:
            yield from self.glossed(word)

    def meta(self, node: Node, words: list[_Word], items: list[tuple[Node, str, str]]) -> dict[str, Any]:
        meta: dict[str, Any] = {"document": self.document, "part": self.part}
        for name, key in (("begin-time-offset", "start"), ("end-time-offset", "end")):
            if node.get(name).isdigit():
                meta[key] = int(node.get(name)) / 1000
        meta |= {"speaker": node.get("speaker")} if node.get("speaker") else {}
        meta |= {kind: text for _, kind, text in items if kind in ("segnum", "lit", "note") and text}
        glosses = [[word.form(self.cfg.language), word.gloss(self.cfg.pivot)] for word in words if word.glosses]
        morphs = [[m.form, m.gloss(self.cfg.pivot)] for word in words for m in word.morphs if m.glosses]
        meta |= {"words": glosses} if glosses else {}
        return meta | ({"morphemes": morphs} if morphs else {})

    def glossed(self, word: _Word) -> Iterator[Record | Drop]:
        """Stems with their glosses; a word of one morpheme is that stem, and one of several an entry of its own."""
        if not self.cfg.entries:
            return
        made = [(m.headword, m.gloss(self.cfg.pivot), m.part, m.node) for m in word.morphs if m.kind in _STEMS]
        if len(word.morphs) != 1:
            made.append((word.form(self.cfg.language), word.gloss(self.cfg.pivot), word.part, word.node))
        for headword, gloss, part, node in made:
            key = record_id(headword, gloss, part)
            # Glosses in capitals are grammatical labels (Leipzig Glossing Rules, rule 3): PREP explains no word.
            if headword and gloss and not gloss.isupper() and key not in self.entries:
                self.entries.add(key)
                senses = (Sense(gloss, self.cfg.pivot),)
                ident = self.ids("entry", headword, gloss, part)
                yield Entry(ident, headword, self.cfg.language, senses, self.origin(node), part)


class _Morph:
    """One morpheme: its form, its citation form, its glosses by language and its category."""

    def __init__(self, node: Node):
        self.node, self.kind = node, node.get("type")
        items = [(item.get("type"), _code(item), item.text().strip()) for item in node.children("item")]
        self.form = next((text for kind, _, text in items if kind == "txt"), "")
        self.headword = next((text for kind, _, text in items if kind == "cf" and text), self.form)
        self.glosses = {code: text for kind, code, text in items if kind in ("gls", "glsAppend") and text}
        self.part = next((text for kind, _, text in items if kind == "msa"), "")

    def gloss(self, pivot: str) -> str:
        """The gloss in the pivot language."""
        return self.glosses.get(pivot, "")


class _Word:
    """One word, or a mark of punctuation between words."""

    def __init__(self, node: Node):
        self.node = node
        items = [(item.get("type"), _code(item), item.text().strip()) for item in node.children("item")]
        self.forms = {code: text for kind, code, text in items if kind == "txt" and text}
        self.punctuation = next((text for kind, _, text in items if kind == "punct"), "")
        self.glosses = {code: text for kind, code, text in items if kind == "gls" and text}
        self.part = next((text for kind, _, text in items if kind == "pos"), "")
        self.morphs = [_Morph(morph) for morph in node.inside("morph")]

    def form(self, code: str) -> str:
        """The word as it is written in a language."""
        return self.forms.get(code, "")

    def gloss(self, pivot: str) -> str:
        """The gloss in the pivot language."""
        return self.glosses.get(pivot, "")


def _joined(words: list[_Word], code: str) -> str:
    """The baseline put together: marks that open stand before the next word, all others behind the last one."""
    text, glue = "", True
    for word in words:
        mark, form = word.punctuation, word.form(code)
        if mark:
            opens = mark[0] in "([{«“‘¿¡„‹" or (mark in "\"'" and text.count(mark) % 2 == 0)
            text += ("" if glue or not opens else " ") + mark
            glue = opens
        elif form:
            text += ("" if glue else " ") + form
            glue = False
    return text.strip()


def _code(item: Node) -> str:
    """ISO 639-3 code of an item; of a writing system like `tzh-fonipa` the language."""
    return language(item.get("lang")).code if item.get("lang") else ""
