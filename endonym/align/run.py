"""Pair the sentences of documents that translate each other, with a confidence for every pair."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.dataset import Dataset, DatasetWriter
from endonym.data.rights import together
from endonym.data.scripts import count_blocks
from endonym.types import Doc, Drop, Entry, Keep, Link, Pair, record_id

if TYPE_CHECKING:
    from types import ModuleType

    from endonym.data.lexicon import Lexicon
    from endonym.jobs.job import Job

KIND = "aligner"
CHOICE = "one"
DEFAULT = "lexicon"
INPUTS = {"dataset": "clean"}
PRODUCES = "aligned"

Documents = dict[str, tuple[list[Doc], list[Doc]]]
MOST_CHARACTERS = 20_000_000
"""Characters, of both sides, of documents that are aligned together."""
SAME_PARAGRAPHS = 0.9
"""Share of paragraphs that must fall on the one of the same number before paragraph ends are trusted."""


class Config(BaseModel):
    """Settings of alignment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    floor: float = Field(0.2, ge=0, le=1, description="Confidence below which a pair goes to the ledger.")
    paragraphs: bool = Field(True, description="Keep paragraphs together where both documents have the same ones.")
    plain_text: bool = Field(
        False, description="Also keep the paragraphs in the language taught, to be learned as plain text."
    )


def run(cfg: Config, job: Job) -> None:
    """Pass every record on but the paragraphs of parallel documents, which become sentence pairs.

    A sentence without a partner stays a `Doc`; a link below the floor goes to the ledger as the pair it would have been. So each
    character read is kept or dropped once, but for white space between sentences. Paragraphs that `plain_text` keeps beside
    their pairs are there twice: the manifest counts them under `copied`, and as `changed` like all that a stage adds.
    """
    dataset = Dataset.of(job, "dataset")
    name, (module, settings) = next(iter(job.plugins.items()))
    parallel = find_parallel(dataset, {job.project.language, job.project.pivot})
    taken = {doc.id for sides in parallel.values() for side in sides for doc in side}
    counts: Counter[str] = Counter()
    confidences: list[float] = []
    copied: Counter[str] = Counter()
    job.tick(0, len(parallel), "documents")
    with DatasetWriter(job.output, parents=[dataset.hash], aligner=name) as out:
        out.keep_empty()
        for record in dataset.records():
            out.read(record)
            if record.id not in taken:
                out.keep(record)
            elif cfg.plain_text and isinstance(record, Doc) and record.language == job.project.language:
                out.keep(record)
                copied.update(count_blocks(record.text))
                counts["plain_texts"] += 1
        done = 0
        for documents in batches(parallel):
            languages = [side[0].language for side in next(iter(documents.values()))]
            lexicon = known_words(dataset, *languages)
            for document, found in pair_up(documents, cfg, module, settings, lexicon):
                for made in found:
                    if isinstance(made, Drop):
                        out.drop(made)
                    else:
                        out.keep(made.record)
                    counts[_kind(made)] += 1
                    confidences += [made.record.meta["confidence"]] if isinstance(made.record, Pair) else []
                source, target = documents[document]
                job.log(f"{document}: {len(source)} and {len(target)} paragraphs, {counts['pairs']} pairs so far")
                job.tick(done := done + 1, len(parallel), "documents")
                if job.cancelled():
                    return
        out.about["copied"] = dict(copied)
    mean = sum(confidences) / len(confidences) if confidences else 0.0
    job.summary(documents=len(parallel), mean_confidence=round(mean, 3), **counts)


def find_parallel(dataset: Dataset, wanted: set[str]) -> Documents:
    """Documents in two languages that share `meta["parallel"]`, or their name, each side in reading order.

    Of three or more languages the project's two are aligned; without both of them the first two that come.
    """
    found: dict[str, dict[str, list[Doc]]] = defaultdict(lambda: defaultdict(list))
    for record in dataset.records():
        if isinstance(record, Doc):
            name = record.meta.get("parallel") or record.meta.get("document")
            if name:
                found[str(name)][record.language].append(record)
    parallel = {}
    for name, sides in found.items():
        languages = [code for code in sides if code in wanted] if wanted <= set(sides) else list(sides)
        if len(languages) >= 2:
            first, second = (sorted(sides[code], key=_order) for code in languages[:2])
            parallel[name] = (first, second)
    return parallel


def known_words(dataset: Dataset, source_language: str, target_language: str) -> Lexicon | None:
    """A lexicon of the project's own pairs and dictionary glosses, None when there are none in these languages."""
    from endonym.data.glosses import glosses
    from endonym.data.lexicon import Lexicon

    pairs = []
    for record in dataset.records():
        if isinstance(record, Pair) and (sides := record.between(source_language, target_language)):
            pairs.append((sides[0].casefold(), sides[1].casefold()))
        elif isinstance(record, Entry):
            for sense in record.senses:
                if {record.language, sense.language} == {source_language, target_language}:
                    said = [(record.headword.casefold(), gloss.casefold()) for gloss in glosses(sense.definition)]
                    pairs += said if record.language == source_language else [(b, a) for a, b in said]
    return Lexicon.learn(pairs) if pairs else None


def batches(parallel: Documents) -> Iterator[Documents]:
    """Documents that are aligned together, so that what one teaches of the words serves all: of the same two languages, and no
    more characters than memory likes."""
    by_language: dict[tuple[str, str], Documents] = defaultdict(dict)
    for name, sides in parallel.items():
        by_language[sides[0][0].language, sides[1][0].language][name] = sides
    for documents in by_language.values():
        batch: Documents = {}
        size = 0
        for name, sides in documents.items():
            characters = sum(len(doc.text) for side in sides for doc in side)
            if batch and size + characters > MOST_CHARACTERS:
                yield batch
                batch, size = {}, 0
            batch[name] = sides
            size += characters
        yield batch


def pair_up(
    documents: Documents, cfg: Config, module: ModuleType, settings: Any, lexicon: Lexicon | None
) -> Iterator[tuple[str, list[Keep | Drop]]]:
    """Align documents one after the other as one text; every sentence of theirs comes out once, in a pair or in a document of its own."""
    sides = {name: (_Sentences(source), _Sentences(target)) for name, (source, target) in documents.items()}
    texts: tuple[list[str], list[str]] = ([], [])
    anchors: list[tuple[int, int]] = []
    for left, right in sides.values():
        start = len(texts[0]), len(texts[1])
        anchors += [start] if any(start) else []
        anchors += [(start[0] + i, start[1] + j) for i, j in (anchors_of(left, right) if cfg.paragraphs else [])]
        texts[0].extend(left.texts)
        texts[1].extend(right.texts)
    links = iter(module.align(*texts, settings, lexicon=lexicon, anchors=anchors))
    start = (0, 0)
    for name, (left, right) in sides.items():
        end = start[0] + len(left.texts), start[1] + len(right.texts)
        at, mine = start, []
        while at != end:
            link = next(links)
            mine.append(
                Link(
                    tuple(i - start[0] for i in link.source), tuple(j - start[1] for j in link.target), link.confidence
                )
            )
            at = at[0] + len(link.source), at[1] + len(link.target)
        yield name, list(_records(name, left, right, mine, cfg.floor))
        start = end


def _records(
    document: str, left: _Sentences, right: _Sentences, links: Sequence[Link], floor: float
) -> Iterator[Keep | Drop]:
    number = 0
    for link in links:
        for side, places in ((left, link.source), (right, link.target)):
            if not (link.source and link.target) and places:
                yield Keep(side.alone(places))
        if link.source and link.target:
            pair = _pair(document, left, right, link, number)
            number += 1
            if not any(c.isalpha() for c in pair.source + pair.target):
                yield Drop(pair, "align.no_words", "numbers and signs alone teach no language")
            elif link.confidence < floor:
                yield Drop(pair, "align.low_confidence", f"{link.confidence:.2f}, floor {floor:.2f}")
            else:
                yield Keep(pair)


def anchors_of(left: _Sentences, right: _Sentences) -> list[tuple[int, int]]:
    """Sentence positions that correspond: verses of one number, else ends of sections of one name and of their paragraphs.

    In sections of one name, paragraphs are tied where both sides have as many. Without sections their lengths must agree too:
    equal counts over a whole document prove little, since one may lack at the top and another be added below.
    """
    from endonym.align.passes import way_by_lengths

    x, y = ([doc.text for doc in side.docs] for side in (left, right))
    if not any(x) or not any(y):
        return []
    if verses := _verse_anchors(left, right):
        return verses
    first, second = left.sections(), right.sections()
    named = bool(first) and list(first) == list(second)
    if not named:
        first, second = {"": slice(0, len(x))}, {"": slice(0, len(y))}
    anchors: list[tuple[int, int]] = []
    for name, here in first.items():
        there, count = second[name], here.stop - here.start
        if count == there.stop - there.start and count > 1:
            way = way_by_lengths(x[here], y[there])
            same = sum(a[0] == a[1] and b == (a[0] + 1, a[1] + 1) for a, b in pairwise(way))
            if named or same >= SAME_PARAGRAPHS * count:
                anchors += [(left.ends[here.start + k], right.ends[there.start + k]) for k in range(count - 1)]
        anchors.append((left.ends[here.stop - 1], right.ends[there.stop - 1]))
    return anchors[:-1]


def _verse_anchors(left: _Sentences, right: _Sentences) -> list[tuple[int, int]]:
    """Where the verses that both sides have begin and end; none when fewer than half of them are in both."""
    first, second = left.verses(), right.verses()
    shared = [verse for verse in first if verse in second]
    if 2 * len(shared) < max(1, min(len(first), len(second))):
        return []
    anchors: list[tuple[int, int]] = []
    here = there = 0
    for verse in shared:
        a, b = first[verse], second[verse]
        if a.start >= here and b.start >= there:
            anchors += [(a.start, b.start), (a.stop, b.stop)]
            here, there = a.stop, b.stop
    return sorted({anchor for anchor in anchors if anchor not in ((0, 0), (len(left.texts), len(right.texts)))})


class _Sentences:
    """The sentences of one side and the paragraph each comes from."""

    def __init__(self, docs: Sequence[Doc]):
        from endonym.data.sentences import sentences

        self.docs = docs
        self.texts: list[str] = []
        self.owners: list[int] = []
        self.ends: list[int] = []
        for i, doc in enumerate(docs):
            pieces = sentences(doc.text)
            self.texts += pieces
            self.owners += [i] * len(pieces)
            self.ends.append(len(self.texts))

    def sections(self) -> dict[str, slice]:
        """Named runs of paragraphs in order; none when a name is missing or comes back later."""
        names = [str(doc.meta.get("section", "")) for doc in self.docs]
        starts = [i for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
        found = {names[a]: slice(a, b) for a, b in zip(starts, [*starts[1:], len(names)])}
        return found if len(found) == len(starts) and "" not in found else {}

    def verses(self) -> dict[str, slice]:
        """The sentences of each numbered verse; one that comes back later counts where it came first."""
        found: dict[str, slice] = {}
        before = ""
        for i, doc in enumerate(self.docs):
            verse = str(doc.meta.get("verse", ""))
            start = self.ends[i - 1] if i else 0
            if verse and verse == before:
                found[verse] = slice(found[verse].start, self.ends[i])
            elif verse and verse not in found:
                found[verse] = slice(start, self.ends[i])
            before = verse if found.get(verse, slice(0, 0)).stop == self.ends[i] else ""
        return found

    def text(self, places: Sequence[int]) -> str:
        """Sentences as one text; a paragraph that ends inside a link leaves a space."""
        joined = ""
        for k in places:
            joined += ("" if not joined or joined[-1].isspace() else " ") + self.texts[k]
        return joined.strip()

    def alone(self, places: Sequence[int]) -> Doc:
        """Sentences without a partner, as a document part of their own."""
        doc, text = self.docs[self.owners[places[0]]], self.text(places)
        meta = {**doc.meta, "sentence": places[0], "aligned": False}
        return Doc(record_id(doc.id, str(places[0]), text), text, doc.language, doc.origin, meta)


def _pair(document: str, left: _Sentences, right: _Sentences, link: Link, number: int) -> Pair:
    first = left.docs[left.owners[link.source[0]]]
    second = right.docs[right.owners[link.target[0]]]
    source, target = left.text(link.source), right.text(link.target)
    meta: dict[str, Any] = {
        "document": document, "part": first.meta.get("part", 0), "sentence": number, "confidence": round(link.confidence, 3),
        "sentences": [len(link.source), len(link.target)], "target_origin": second.origin,
        **({"verse": first.meta["verse"]} if first.meta.get("verse") else {}),
    }  # fmt: skip
    meta |= together((first.meta, second.meta))
    identity = record_id(first.id, second.id, str(number), source, target)
    return Pair(identity, source, target, first.language, second.language, first.origin, meta)


def _order(doc: Doc) -> tuple[str, int]:
    return str(doc.meta.get("document", "")), int(doc.meta.get("part", 0))


def _kind(made: Keep | Drop) -> str:
    if isinstance(made, Drop):
        return made.reason.partition(".")[2]
    return "pairs" if isinstance(made.record, Pair) else "unpaired"
