"""Read recordings (WAV, MP3, FLAC, Ogg) with Whisper, or give the lines of their transcript the times they are spoken at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.ingest.forms import form
from endonym.ingest.ids import Ids
from endonym.ingest.names import split_name
from endonym.types import Doc, Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.finding import Said
    from endonym.ingest.language import Known
    from endonym.ingest.sample import Sample
    from endonym.ingest.speech import Passage
    from endonym.ingest.transcript import Said as Line

REQUIRES = {"faster_whisper": "audio", "av": "audio"}
EXTENSIONS = (".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus")
FORMS = ("WAV", "MP3", "FLAC", "Ogg")
GLANCE = 90.0
"""Seconds of speech that `endonym add` listens to."""


class Config(BaseModel):
    """Settings of reading recordings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language spoken; the project's when empty.")
    pivot: str = Field("", description="Pivot language, so that its code is understood in a file's name.")
    model: str = Field(
        "", description="Whisper model: a name of `endonym models`, or a folder; the best that is here when empty."
    )
    floor: float = Field(
        0.6, ge=0, le=1, description="Mean probability of a passage's words below which it waits for review."
    )
    aligned_floor: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of a transcript's line to be recognised at its place; below, it waits for review.",
    )
    transcript: bool = Field(True, description="Take the transcript beside a recording where there is one.")
    document: str = Field("", description="Name of the document; the file's name when empty.")


def sniff(sample: Sample) -> float:
    """High for sound."""
    return 0.95 if sample.form in FORMS else 0.0


def beside(path: Path) -> list[Path]:
    """The transcript of a recording: it is read with it."""
    from endonym.ingest import transcript

    found = transcript.beside(path)
    return [found] if found else []


def languages(sample: Sample, values: dict[str, Any], known: Known) -> list[Said]:
    """The language spoken: what the list of transcripts or the name says, else the project's."""
    from endonym.data.languages import language
    from endonym.ingest import transcript
    from endonym.ingest.finding import Said

    named = split_name(sample.path, known.language, known.pivot)[1]
    listed = transcript.declared(sample.path)
    said = (
        "the list of transcripts says so"
        if listed
        else "the file's name says so"
        if named
        else "taken from the project"
    )
    values["language"] = values.get("language") or (language(listed).code if listed else named) or known.language
    return [Said(sample.path.name, values["language"], said)]


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Doc` for every passage or line of the transcript; what is below its floor waits for review."""
    yield from _read(path, cfg, 0.0)


def glance(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """The beginning only, when there is no transcript: what `endonym add` shows."""
    yield from _read(path, cfg, GLANCE)


def measured(path: Path, cfg: Config) -> str:
    """Error rates of what is recognised against the transcript, `""` where there is none or nothing was recognised."""
    from endonym.ingest import transcript

    beside = transcript.beside(path) if form(path) in FORMS else None
    passages = list(_passages(path, cfg, 0.0)) if beside else []
    if not beside or not any(passage.words for passage in passages):
        return ""
    said = transcript.lines(beside, path, cfg.language, cfg.pivot)
    return f"{path.name}: {transcript.errors(said, passages)} against {beside.name}"


def _read(path: Path, cfg: Config, most: float) -> Iterator[Record | Drop]:
    from endonym.ingest import transcript
    from endonym.store.files import file_hash

    if form(path) not in FORMS:
        return
    beside = transcript.beside(path) if cfg.transcript else None
    passages = list(_passages(path, cfg, 0.0 if beside else most))
    about = {"document": cfg.document or path.stem, "hash": file_hash(path)[:16]}
    ids = Ids()
    if not passages and not beside:
        yield Drop(
            Doc(ids("speech", path.name), "", cfg.language, f"{path.name}:0", about),
            "speech.silent",
            "nobody speaks in it",
        )
    for number, passage in enumerate(passages, 1):
        doc = _doc(
            ids, path, cfg, passage.text, (passage.begin, passage.end), passage.confidence, {**about, "part": number}
        )
        if passage.words:
            doc.meta["words"] = [[word.text.strip(), word.begin, word.end, word.probability] for word in passage.words]  # type: ignore[index]
        if beside:
            yield Drop(doc, "speech.transcript", f"{beside.name} is taken instead")
        elif not passage.words:
            yield Drop(doc, "speech.review", "nothing was recognised: write down what is said")
        elif passage.confidence < cfg.floor:
            yield Drop(doc, "speech.review", f"confidence {passage.confidence:.0%}, wanted {cfg.floor:.0%}")
        else:
            yield doc
    if beside and beside.suffix in transcript.TIMED:
        yield from _timed(path, cfg, beside, passages, about)
    elif beside:
        lines = transcript.lines(beside, path, cfg.language)
        for number, said in enumerate(transcript.align(lines, passages), 1):
            time = (said.begin, said.end)
            doc = _doc(ids, path, cfg, said.text, time, said.confidence, {**about, "part": number, "typed": True})
            yield _judged(doc, said, passages, cfg)


def _timed(
    path: Path, cfg: Config, beside: Path, passages: list[Passage], about: dict[str, Any]
) -> Iterator[Record | Drop]:
    """All that a transcript with times holds, translations too; its lines are compared with what is heard at their place."""
    from endonym.ingest import transcript

    items = list(transcript.timed(beside, cfg.language, cfg.pivot))
    said = [transcript.line(item, cfg.language) for item in items if not isinstance(item, Drop)]
    placed = iter(transcript.align(said, passages))
    for item in items:
        if isinstance(item, Drop):
            yield item
            continue
        one = next(placed)
        meta = {**item.meta, **about, "recording": path.name, "time": [one.begin, one.end], "typed": True}
        if isinstance(item, Doc) and one.text:
            yield _judged(replace(item, meta={**meta, "confidence": one.confidence}), one, passages, cfg)
        else:
            yield replace(item, meta=meta)


def _judged(doc: Doc, said: Line, passages: list[Passage], cfg: Config) -> Record | Drop:
    """A line of a transcript, which waits where little of it was recognised at its place."""
    if any(passage.words for passage in passages) and said.confidence < cfg.aligned_floor:
        detail = f"only {said.confidence:.0%} of it was recognised at its place, wanted {cfg.aligned_floor:.0%}"
        return Drop(doc, "speech.review", detail)
    return doc


def _doc(
    ids: Ids, path: Path, cfg: Config, text: str, time: tuple[float, float], sure: float, about: dict[str, Any]
) -> Doc:
    meta = {**about, "time": list(time), "confidence": round(sure, 3)}
    return Doc(ids("speech", cfg.language, path.name, text), text, cfg.language, f"{path.name}:{round(time[0])}", meta)


def _passages(path: Path, cfg: Config, most: float) -> Iterator[Passage]:
    """The passages of a recording, until so many seconds of speech were heard; 0 for all."""
    from endonym.ingest.speech import listen
    from endonym.models.speech import find

    heard = 0.0
    for passage in listen(path, find(cfg.model, cfg.language), cfg.language):
        yield passage
        heard += passage.end - passage.begin
        if most and heard > most:
            return
