"""Read dictionaries in LIFT, the exchange format of FLEx, WeSay and Lexique Pro.

A sense's glosses and definition in one language are one `Sense`; subsenses are senses. Variants, relations, notes, traits, etymologies and
pronunciations stand in the entry's `meta`; keys and dates that programs write for themselves are left out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.errors import DataError, Problem
from endonym.ingest.article import Article, Example, Writer
from endonym.ingest.sides import code_of, from_marks
from endonym.ingest.xml_stream import MAX_ENTRY, Node, nodes
from endonym.types import Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.finding import Said
    from endonym.ingest.language import Known
    from endonym.ingest.sample import Sample

EXTENSIONS = (".lift",)
AUDIO = re.compile(r"zxxx|audio", re.I)
"""In the mark of forms that name a recording: `seh-Zxxx-x-audio`."""
_ID = re.compile(r"_?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", re.I)


class Config(BaseModel):
    """Settings of reading LIFT."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language of headwords and examples; the project's when empty.")
    pivot: str = Field("", description="Language of glosses and translations to take; the project's pivot when empty.")
    tags: dict[str, str] = Field({}, description="ISO 639-3 code of language marks that say none, such as qaa-x-own.")


def sniff(sample: Sample) -> float:
    """High where the file starts as LIFT does."""
    return 0.95 if sample.begins("lift") else 0.0


def languages(sample: Sample, values: dict[str, Any], known: Known) -> list[Said]:
    """Which language headwords and glosses are in, by the marks of the file."""
    tags = values.get("tags") or {}
    words: dict[str, list[str]] = defaultdict(list)
    meanings: dict[str, list[str]] = defaultdict(list)
    for entry in nodes(sample.path, ("entry",), most=MAX_ENTRY):
        for tag, text in _forms(entry.first("citation")) or _forms(entry.first("lexical-unit")):
            if "fonipa" not in tag.lower():
                words[tag].append(text)
        for sense in _senses(entry):
            for tag, text in _meanings(sense):
                meanings[tag].append(text)
    if values.get("language"):
        own = str(values["language"])
        known.learn(own, [text for tag, texts in words.items() if code_of(tag, tags) == own for text in texts])
    return from_marks(values, words, meanings, known)


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield an `Entry` for every entry, then a `Pair` for every example and translation. Raises DataError on broken XML."""
    yield from Writer(path, "lift", cfg.language, cfg.pivot).records(_articles(path, cfg))


def _articles(path: Path, cfg: Config) -> Iterator[Article]:
    seen: set[str] = set()
    fits = False
    for entry in nodes(path, ("entry",), most=MAX_ENTRY):
        tags = [tag for name in ("citation", "lexical-unit") for tag, _ in _forms(entry.first(name))]
        seen.update(tags)
        fits = fits or not tags or cfg.language in {code_of(tag, cfg.tags) for tag in tags}
        yield _article(entry, cfg)
    if seen and not fits:
        raise DataError(Problem(path.name, 0, "lang", f"no headword is in {cfg.language}",
                                f"the file has {', '.join(sorted(seen))}; set language, or tags = {{ {min(seen)} = \"{cfg.language}\" }}"))  # fmt: skip


def _article(entry: Node, cfg: Config) -> Article:
    article = Article(entry.line, key=entry.get("id"), homograph=entry.get("order"))
    heads = [(name, *form) for name in ("citation", "lexical-unit") for form in _forms(entry.first(name))]
    own = [form for form in heads if code_of(form[1], cfg.tags) == cfg.language]
    # A phonetic form is marked as such (seh-fonipa); the one written as people write it is the headword.
    own.sort(key=lambda form: "fonipa" in form[1].lower() or ("-x-" in form[1].lower() and form[1] not in cfg.tags))
    article.headword = own[0][2] if own else ""
    for form in heads:
        if form not in own[:1] and form[2] != article.headword:
            article.note(f"{form[0]} {form[1]}".strip(), form[2])
    _beside(entry, article, cfg)
    for sense in _senses(entry):
        _sense(sense, article, cfg)
    for name in _recordings(entry):
        article.note("media", name)
    return article


def _sense(sense: Node, article: Article, cfg: Config) -> None:
    said: dict[str, list[str]] = defaultdict(list)
    for tag, text in _meanings(sense):
        said[code_of(tag, cfg.tags)].append(text)
    for code, texts in said.items():
        article.mean(code, texts)
    for node in sense.children("grammatical-info"):
        article.class_is("grammatical-info", node.get("value"))
    for node in sense.children("example"):
        article.examples.extend(_example(node, article, cfg))
    _beside(sense, article, cfg)


def _example(node: Node, article: Article, cfg: Config) -> Iterator[Example]:
    forms = _forms(node)
    texts = [text for tag, text in forms if code_of(tag, cfg.tags) == cfg.language]
    for tag, text in forms:
        if text not in texts[:1]:
            article.note(f"example {tag}".strip(), text)
    sides = [(code_of(tag, cfg.tags), text) for one in node.children("translation") for tag, text in _forms(one)]
    for name in ("note", "field", "trait"):
        for one in node.children(name):
            article.note(f"example {_name(one)}", _value(one))
    if texts or sides:
        meta = {"reference": node.get("source")} if node.get("source") else {}
        yield Example(texts[0] if texts else "", sides, node.line, meta)


def _beside(node: Node, article: Article, cfg: Config) -> None:
    """What stands beside headword and meanings, for the entry's meta."""
    for one in node.children():
        if one.tag == "variant":
            article.variants += [text for _, text in _forms(one)]
            for inner in one.children():
                if inner.tag != "form" and _value(inner) and inner.get("name") != "morph-type":
                    article.note(f"variant {_name(inner)}", _value(inner))
        elif one.tag == "relation":
            article.refer(one.get("type") or "relation", _ID.sub("", one.get("ref")))
            for inner in one.children():
                article.note(f"relation {_name(inner)}", _value(inner))
        elif one.tag == "reversal":
            article.note("reversal", "; ".join(text for _, text in _forms(one)))
        elif one.tag in ("note", "trait", "field", "pronunciation", "etymology", "annotation", "illustration", "usage"):
            article.note(_name(one), _value(one))


def _name(node: Node) -> str:
    return node.get("name") or (f"note {node.get('type')}" if node.tag == "note" and node.get("type") else "") \
        or (node.get("type") if node.tag == "field" else "") or node.tag  # fmt: skip


def _value(node: Node) -> str:
    return " ".join(filter(None, (node.get("value") or node.get("source") or node.get("href"), node.folded())))


def _senses(node: Node) -> Iterator[Node]:
    for sense in node.children("sense", "subsense"):
        yield sense
        yield from _senses(sense)


def _meanings(sense: Node) -> list[tuple[str, str]]:
    found = []
    for gloss in sense.children("gloss"):
        text = gloss.folded()
        found += [(gloss.get("lang"), text)] if gloss.get("lang") and text else _forms(gloss)
    for definition in sense.children("definition"):
        found += _forms(definition)
    return found


def _forms(node: Node | None) -> list[tuple[str, str]]:
    """The multilingual text of an element: `(mark, text)` of its forms that are not empty."""
    forms = node.children("form") if node else []
    return [(form.get("lang"), form.folded()) for form in forms if form.folded() and not AUDIO.search(form.get("lang"))]


def _recordings(node: Node) -> Iterator[str]:
    for one in node.children():
        if one.tag == "media" or AUDIO.search(one.get("lang")):
            yield one.get("href") or one.folded()
        else:
            yield from _recordings(one)
