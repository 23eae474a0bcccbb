"""Read dictionaries in TEI, as FreeDict publishes them: P5, and P4 with `trans` and `tr`.

Translations and definitions of one sense and language are one `Sense`. Further spellings and inflected forms are variants; `xr` are references;
grammar beside the part of speech, pronunciation, usage, etymology, notes and stray text stand in the entry's `meta` under their tag.
A `hom` and a related entry (`re`) are entries of their own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.ingest.article import Article, Example, Writer
from endonym.ingest.sides import by_content, code_of, from_marks, pair_in
from endonym.ingest.xml_stream import MAX_ENTRY, Node, fold, nodes
from endonym.types import Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.finding import Said
    from endonym.ingest.language import Known
    from endonym.ingest.sample import Sample

EXTENSIONS = (".tei", ".xml")
ENTRIES = ("entry", "entryFree")
LOOK = 4 * 2**20
"""Bytes in which the first entry must come: headers can be long."""


class Config(BaseModel):
    """Settings of reading TEI dictionaries."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language of headwords and examples; the project's when empty.")
    pivot: str = Field("", description="Language of translations to take; the project's pivot when empty.")
    definitions: str = Field("", description="Language of definitions that are not marked; the pivot when empty.")
    tags: dict[str, str] = Field({}, description="ISO 639-3 code of language marks that say none, such as qaa-x-own.")


def sniff(sample: Sample) -> float:
    """High where the file starts as TEI does and has dictionary entries."""
    if not sample.begins("TEI", "TEI.2", "TEICorpus", "teiCorpus"):
        return 0.0
    with sample.path.open("rb") as file:
        begun = file.read(LOOK)
    return 0.95 if re.search(rb"<(?:\w+:)?entry(?:Free)?[\s>]", begun) else 0.0


def languages(sample: Sample, values: dict[str, Any], known: Known) -> list[Said]:
    """Which languages the dictionary is in: by its marks, else by its name and title, else by content."""
    words: dict[str, list[str]] = defaultdict(list)
    meanings: dict[str, list[str]] = defaultdict(list)
    plain: list[str] = []
    for entry in nodes(sample.path, ENTRIES, most=MAX_ENTRY):
        article = _Reading(Config()).article(entry)
        words[article.tag].append(article.headword)
        for tag, text, defined in article.raw:
            (plain if defined and not tag else meanings[tag]).append(text)
    translated = any(meanings.values())
    if not translated:
        meanings[""], plain = plain, []
    title = re.search(r"<title[^>]*>([^<]*)</title>", sample.head)
    pair, how = pair_in(f"{sample.path.stem} ; {title[1] if title else ''}", known)
    given = {field: bool(values.get(field)) for field in ("language", "pivot")}
    found = from_marks(values, words, meanings, known)
    for number, field in enumerate(("language", "pivot")):
        # What the name says is surer than a guess from content, and less sure than marks.
        if pair and not given[field] and not found[number].how.startswith("the file"):
            found[number] = type(found[number])(found[number].part, pair[number], how)
            values[field] = pair[number]
    if plain and not values.get("definitions"):
        said = by_content("definitions", plain, values["pivot"], known)
        values["definitions"] = said.language
        found.append(type(said)("plain def", said.language, said.how))
    return found


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield an `Entry` for every entry and a `Pair` for every translated example. Raises DataError on broken XML."""
    yield from Writer(path, "tei", cfg.language, cfg.pivot).records(_articles(path, cfg))


def _articles(path: Path, cfg: Config) -> Iterator[Article]:
    for entry in nodes(path, ENTRIES, most=MAX_ENTRY):
        reading = _Reading(cfg)
        article = reading.article(entry)
        homs = reading.parts
        if article.senses or article.examples or not any(tag == "hom" for tag, _ in homs):
            yield article
        for number, (tag, node) in enumerate(homs, 1):
            inner = _Reading(cfg).article(node)
            if tag == "hom":
                inner.headword, inner.homograph = inner.headword or article.headword, node.get("n") or str(number)
                inner.variants = inner.variants or article.variants
            else:
                inner.main = article.headword
            yield inner


class _Article(Article):
    """An article that still knows the language marks as the file writes them."""

    tag = ""

    def __init__(self, line: int):
        super().__init__(line)
        self.raw: list[tuple[str, str, bool]] = []
        """`(mark, text, whether it is a definition)` of every meaning."""


class _Reading:
    """Goes through one entry."""

    def __init__(self, cfg: Config):
        self.cfg = cfg
        self.parts: list[tuple[str, Node]] = []
        """Homographs and related entries inside."""

    def article(self, entry: Node) -> _Article:
        article = _Article(entry.line)
        article.key, article.homograph = _attribute(entry, "id"), entry.get("n")
        self._inside(entry, article)
        return article

    def _inside(self, node: Node, article: _Article, tag: str = "") -> None:
        """Meanings, examples and the rest of an entry or a sense; nested senses come after it, in order."""
        said: dict[str, list[str]] = defaultdict(list)
        later: list[Node] = []
        for one in node.children():
            mark = _attribute(one, "lang") or tag
            if one.tag == "form":
                self._form(one, article)
            elif one.tag == "gramGrp":
                self._grammar(one, article)
            elif one.tag in ("sense", "dictScrap"):
                later.append(one)
            elif one.tag in ("hom", "re") or one.tag in ENTRIES:
                self.parts.append(("hom" if one.tag == "hom" else "re", one))
            elif one.tag == "def":
                self._mean(article, said, mark, one.folded(), True)
            elif one.tag == "trans" or (one.tag == "cit" and _translates(one)):
                self._translation(one, article, said, mark)
            elif one.tag in ("cit", "eg"):
                self._example(one, article)
            elif one.tag == "xr":
                self._reference(one, article)
            else:
                article.note(_named(one), one.folded())
        article.note(node.tag, node.own_text())
        for code, texts in said.items():
            article.mean(code, texts)
        for one in later:
            self._inside(one, article, _attribute(one, "lang"))

    def _mean(self, article: _Article, said: dict[str, list[str]], mark: str, text: str, defined: bool) -> None:
        if text:
            article.raw.append((mark, text, defined))
            usual = self.cfg.definitions if defined and self.cfg.definitions else self.cfg.pivot
            said[code_of(mark, self.cfg.tags) or usual].append(text)

    def _translation(self, node: Node, article: _Article, said: dict[str, list[str]], mark: str) -> None:
        quotes = [one for one in node.children("quote", "tr", "orth", "def") if one.folded()]
        for one in quotes:
            self._mean(article, said, _attribute(one, "lang") or mark, one.folded(), False)
        for one in node.children():
            if one.tag in ("cit", "eg"):
                self._example(one, article)
            elif one not in quotes:
                article.note(f"trans {_named(one)}", one.folded())
        if quotes:
            article.note(node.tag, node.own_text())
        else:
            self._mean(article, said, mark, node.own_text(), False)

    def _example(self, node: Node, article: _Article) -> None:
        texts = [one.folded() for one in node.children("quote", "q") if one.folded()]
        sides = []
        for one in node.children("cit", "trans"):
            for quote in one.children("quote", "tr"):
                code = code_of(_attribute(quote, "lang") or _attribute(one, "lang"), self.cfg.tags)
                sides.append((code or self.cfg.pivot, quote.folded()))
        for one in node.children():
            if one.tag not in ("quote", "q", "cit", "trans"):
                article.note(f"example {_named(one)}", one.folded())
        article.note(f"example {node.tag}", node.own_text())
        if texts or sides:
            article.examples.append(Example(fold(" ".join(texts)), sides, node.line))

    def _form(self, node: Node, article: _Article) -> None:
        written = [(_attribute(one, "lang") or _attribute(node, "lang"), one.folded()) for one in node.children("orth")]
        inflected = node.get("type") in ("infl", "inflected", "variant", "abbrev")
        for mark, text in written:
            if not text:
                continue
            if not article.headword and not inflected:
                article.headword, article.tag = text, mark
            elif text != article.headword:
                article.variants.append(text)
        for one in node.children():
            if one.tag == "form":
                self._form(one, article)
            elif one.tag == "gramGrp":
                self._grammar(one, article)
            elif one.tag != "orth":
                article.note(_named(one), one.folded())
        if node.own_text():
            article.headword, left = (article.headword, node.own_text()) if article.headword else (node.own_text(), "")
            article.note("form", left)

    def _grammar(self, node: Node, article: _Article) -> None:
        parts = [one.folded() for one in node.children("pos") if one.folded()]
        parts += [one.folded() for one in node.children("gram") if one.get("type") == "pos" and one.folded()]
        if parts:
            article.class_is("pos", ", ".join(parts))
        for one in node.children():
            if one.tag != "pos" and one.get("type") != "pos":
                article.note(_named(one), one.folded())
        article.note("gramGrp", node.own_text())

    def _reference(self, node: Node, article: _Article) -> None:
        words = [one.folded() or one.get("target") for one in node.children("ref", "ptr")]
        for word in filter(None, words or [node.folded()]):
            article.refer(node.get("type") or "xr", word.lstrip("#"))
        if words:
            article.note("xr", node.own_text())


def _attribute(node: Node, name: str) -> str:
    return node.get(f"xml:{name}") or node.get(name)


def _named(node: Node) -> str:
    return f"{node.tag} {node.get('type')}" if node.get("type") else node.tag


def _translates(cit: Node) -> bool:
    """Whether a `cit` holds translations, which its type says, or that of every quote in it."""
    quotes = [] if cit.get("type") else list(cit.children("quote"))
    return all(one.get("type").startswith(("trans", "equiv")) for one in quotes or [cit])
