"""Turn dictionary articles, in whatever format they were written, into entries, example pairs and a ledger.

What a format has and no record has a place for is kept, not dropped: variants, references to other entries and every other field
stand in the entry's `meta`, under the name the format gives them. To the ledger goes text that teaches nothing here: articles without
a headword or without a meaning in the pivot language, meanings and translations in other languages, examples with one side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from endonym.errors import DataError, Problem
from endonym.ingest.ids import Ids
from endonym.types import Doc, Drop, Entry, Pair, Record, Sense


@dataclass
class Example:
    """An example sentence with its translations as `(language, text)`."""

    text: str = ""
    translations: list[tuple[str, str]] = field(default_factory=list)
    line: int = 0
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass
class Article:
    """What one dictionary article says, before it is known which of it can be used."""

    line: int
    headword: str = ""
    part_of_speech: str = ""
    senses: list[tuple[str, str]] = field(default_factory=list)
    """`(language, meaning)`, in any language."""
    examples: list[Example] = field(default_factory=list)
    key: str = ""
    """What the file calls it."""
    main: str = ""
    """Headword of the article this one is a part of."""
    homograph: str = ""
    variants: list[str] = field(default_factory=list)
    references: dict[str, list[str]] = field(default_factory=dict)
    """Kind of the reference -> the words referred to."""
    fields: dict[str, list[str]] = field(default_factory=dict)
    """Everything else, by the name the format gives it."""

    def note(self, name: str, text: str) -> None:
        """Keep a text that has no place of its own."""
        if text:
            self.fields.setdefault(name, []).append(text)

    def refer(self, kind: str, text: str) -> None:
        """Keep a reference to another word."""
        if text:
            self.references.setdefault(kind, []).append(text)

    def mean(self, language: str, texts: Iterable[str]) -> None:
        """Add one sense, said by these texts of one language."""
        text = joined(texts)
        if text:
            self.senses.append((language, text))

    def class_is(self, name: str, text: str) -> None:
        """Set the part of speech; a further one, of a later sense, is kept under its field's name."""
        if not self.part_of_speech:
            self.part_of_speech = text
        elif text != self.part_of_speech:
            self.note(name, text)

    def meta(self) -> dict[str, Any]:
        """What goes beside the entry; empty parts are left out."""
        named = {name: getattr(self, name) for name in ("key", "main", "homograph", "variants", "references", "fields")}
        return {name: value for name, value in named.items() if value}


def joined(texts: Iterable[str]) -> str:
    """Texts that say one meaning as one text; a gloss that a definition begins with is not said twice."""
    given = list(dict.fromkeys(filter(None, (text.strip() for text in texts))))
    return "; ".join(one for one in given if not any(_begins(other, one) for other in given))


def _begins(text: str, gloss: str) -> bool:
    """Whether a text goes on after a gloss that it begins with."""
    return text.startswith(gloss) and text[len(gloss) :].lstrip().startswith(tuple(",;.:("))


@dataclass
class Writer:
    """Makes records of the articles of one file."""

    path: Path
    reader: str
    language: str
    pivot: str
    ids: Ids = field(default_factory=Ids)
    num_articles: int = 0

    def records(self, articles: Iterable[Article | Drop]) -> Iterator[Record | Drop]:
        """Yield an `Entry` an article and a `Pair` an example. Raises DataError when there is no article."""
        for article in articles:
            if isinstance(article, Drop):
                yield article
                continue
            self.num_articles += 1
            yield from self._article(article)
        if not self.num_articles:
            raise DataError(Problem(self.path.name, 0, "", "there is no dictionary entry in this file",
                                    "check that it is the dictionary itself, or name another reader with --reader"))  # fmt: skip

    def left(self, text: str, line: int, reason: str, detail: str = "", language: str = "") -> Drop:
        """A text outside all records, for the ledger."""
        doc = Doc(self.ids("left", reason, text), text, language, f"{self.path.name}:{line}")
        return Drop(doc, f"{self.reader}.{reason}", detail)

    def _article(self, article: Article) -> Iterator[Record | Drop]:
        origin = f"{self.path.name}:{article.line}"
        own = tuple(Sense(text, self.pivot) for language, text in article.senses if language == self.pivot)
        others = [(language, text) for language, text in article.senses if language != self.pivot]
        if not article.headword:
            texts = [*(text for _, text in article.senses), *(t for texts in article.fields.values() for t in texts)]
            texts += [*article.variants, *(t for texts in article.references.values() for t in texts)]
            yield self.left(" | ".join(texts), article.line, "no_headword", "an article without a headword")
            yield from (self._example(example, article, "") for example in self._sides(article))
            return
        ident = self.ids("entry", self.language, article.key or article.headword, *(sense.definition for sense in own))
        entry = Entry(ident, article.headword, self.language, own, origin, article.part_of_speech, article.meta())
        yield entry if own else Drop(entry, f"{self.reader}.no_gloss", self._why(article, others))
        for language, text in others:
            doc = Doc(self.ids("other", article.headword, language, text), text, language, origin)
            said = language or "a language nobody names"
            yield Drop(doc, f"{self.reader}.other_language", f"a meaning in {said}, not {self.pivot}")
        for example in self._sides(article):
            yield self._example(example, article, ident if own else "")

    def _why(self, article: Article, others: list[tuple[str, str]]) -> str:
        if others:
            return (
                f"it has no meaning in {self.pivot}, only in {', '.join(sorted({code or '?' for code, _ in others}))}"
            )
        if article.references:
            return "it only refers to " + ", ".join(word for words in article.references.values() for word in words)
        return "it has no meaning"

    def _sides(self, article: Article) -> Iterator[tuple[Example, str, str]]:
        """Each example once for every translation."""
        for example in article.examples:
            if not example.translations:
                yield example, self.pivot, ""
            for language, text in example.translations:
                yield example, language, text

    def _example(self, side: tuple[Example, str, str], article: Article, entry: str) -> Pair | Drop:
        example, language, translation = side
        ident = self.ids("example", self.language, example.text, language, translation)
        meta: dict[str, Any] = {"headwords": [article.headword]} if article.headword else {}
        if entry:
            meta = {"entry": entry, "entries": [entry], **meta}
        origin = f"{self.path.name}:{example.line or article.line}"
        pair = Pair(ident, example.text, translation, self.language, language, origin, {**meta, **example.meta})
        if not example.text or not translation:
            return Drop(pair, f"{self.reader}.one_side", "the sentence or its translation is empty")
        if language != self.pivot:
            said = language or "a language nobody names"
            return Drop(pair, f"{self.reader}.other_language", f"translated into {said}, not {self.pivot}")
        return pair
