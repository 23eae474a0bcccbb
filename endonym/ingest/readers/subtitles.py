"""Read subtitles in SRT and WebVTT; files of one film in two languages are paired cue by cue where their times overlap."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym.errors import DataError, Problem
from endonym.ingest.encoding import lines
from endonym.ingest.ids import Ids
from endonym.ingest.names import split_name
from endonym.ingest.table import Bad, Row, usable
from endonym.ingest.timing import Bead, Span, beads, clock, moved
from endonym.types import Doc, Drop, Pair, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".srt", ".vtt", ".sbv")
_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{2})(?:[.,:](\d{1,3}))?"
_TIMING = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?$")
_TAG = re.compile(r"</?(?:[a-z][^<>]*|\d+:[\d:.]+)>|\{\\?[a-z][^{}]*\}|\{y:[^{}]*\}", re.I)
_SOUND = re.compile(r"\s*-?\s*(\[[^\[\]]*\]|\([^()]*\)|[♪♫#*\s]+)\s*")
_SPEAKER = re.compile(r"(?:>>\s*)?([^\W\d_][\w .'’-]{0,30}):\s+(?=\S)")


class Config(BaseModel):
    """Settings of reading subtitles."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language, when the file's name does not say it; the project's when empty.")
    pivot: str = Field("", description="Pivot language, so that its code is understood in a file's name.")
    translation: str = Field(
        "", description="File beside it with the same film in the other language; none when empty."
    )
    floor: float = Field(0.3, ge=0, le=1, description="Shared time below which a pair goes to the ledger.")
    shift: bool = Field(
        True, description="Find out whether one file begins later or runs faster, and correct its times."
    )
    encoding: str = Field("", description="Encoding of the files; found when empty.")
    bad_rows: Literal["error", "ledger"] = Field(
        "error", description="What a malformed cue does: stop with the list of all, or go to the ledger."
    )


def sniff(sample: Sample) -> float:
    """High where lines with times between arrows stand."""
    head = sample.head.lstrip("\ufeff")
    timed = sum(bool(_TIMING.match(line)) for line in head[:8000].splitlines())
    return 0.95 if timed and (head.startswith("WEBVTT") or timed > 1 or len(head) < 400) else 0.6 if timed else 0.0


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Doc` for every cue, or with `translation` a `Pair` for what is said together; sounds go to the ledger.

    Called with the file that is the translation of another, it yields nothing: it is read with that one.
    """
    if path.name == cfg.translation:
        return
    ids = Ids()
    spans, code, rest = _side(path, cfg, cfg.language, ids)
    yield from rest
    if not spans:
        raise DataError(Problem(path.name, 0, "", "there is no cue with text", "check that this is the right file"))
    if not cfg.translation:
        for part, span in enumerate(spans, 1):
            yield _doc(ids, path, code, span, {"document": path.stem, "part": part})
        return
    other = path.with_name(cfg.translation)
    if not other.is_file():
        raise DataError(Problem(path.name, 0, "translation", f"the file {other.name} is not beside it",
                                "put it there, or correct the name"))  # fmt: skip
    theirs, second, rest = _side(other, cfg, cfg.pivot if code != cfg.pivot else cfg.language, ids)
    yield from rest
    if second == code:
        raise DataError(Problem(other.name, 0, "language", f"both files are in {code}",
                                "write the language into the names: film.spa.srt and film.tzh.srt"))  # fmt: skip
    offset, speed = clock(spans, theirs) if cfg.shift else (0.0, 1.0)
    on_time = moved(theirs, offset, speed)
    for part, bead in enumerate(beads(spans, on_time), 1):
        sides = ([spans[i] for i in bead.source], [theirs[j] for j in bead.target])
        yield from _bead(ids, (path, other), (code, second), sides, bead, part, offset, cfg.floor)


def _bead(
    ids: Ids, files: tuple[Path, Path], codes: tuple[str, str], sides: tuple[list[Span], list[Span]], bead: Bead,
    part: int, offset: float, floor: float,
) -> Iterator[Record | Drop]:  # fmt: skip
    name = files[0].stem.rpartition(".")[0] or files[0].stem
    if not bead.source or not bead.target:
        for file, code, spans in zip(files, codes, sides):
            for span in spans:
                yield _doc(ids, file, code, span, {"document": file.stem, "part": part, "aligned": False})
        return
    texts = [" ".join(span.text for span in side) for side in sides]
    first, second = sides
    meta: dict[str, Any] = {"document": name, "part": part, "start": first[0].start, "end": first[-1].end,
                            "confidence": round(bead.confidence, 3), "cues": [len(first), len(second)],
                            "target_origin": f"{files[1].name}:{second[0].line}"}  # fmt: skip
    speakers = list(dict.fromkeys(span.speaker for span in (*first, *second) if span.speaker))
    meta |= {"speaker": speakers[0]} if len(speakers) == 1 else {"speakers": speakers} if speakers else {}
    meta |= {"shift": round(offset, 1)} if offset else {}
    origin = f"{files[0].name}:{first[0].line}"
    pair = Pair(ids("pair", codes[0], texts[0], codes[1], texts[1]), texts[0], texts[1], *codes, origin, meta)
    low = bead.confidence < floor
    yield Drop(pair, "subtitles.little_overlap", f"{bead.confidence:.2f}, floor {floor:.2f}") if low else pair


def _doc(ids: Ids, file: Path, code: str, span: Span, meta: dict[str, Any]) -> Doc:
    about = {**meta, "start": span.start, "end": span.end, **({"speaker": span.speaker} if span.speaker else {})}
    return Doc(ids("doc", code, span.text), span.text, code, f"{file.name}:{span.line}", about)


def _side(path: Path, cfg: Config, fallback: str, ids: Ids) -> tuple[list[Span], str, list[Drop]]:
    """The cues of one file with words, its language, and what goes to the ledger."""
    code = split_name(path, cfg.language, cfg.pivot)[1] or fallback
    spans: list[Span] = []
    dropped: list[Drop] = []
    last: list[str] = []
    for row in usable(_cues(path, cfg), cfg.bad_rows, "subtitles"):
        if isinstance(row, Drop):
            dropped.append(row)
            continue
        start, end, raw = row.values["start"], row.values["end"], row.values["text"]
        rolled = [] if row.values["rolling"] is None else last
        said, speaker = _plain(raw)
        written = [line for line in said if line]
        fresh = [line for line in written if line not in rolled]
        last = written
        for reason, texts in (("repeated", [line for line in written if line in rolled]), ("", fresh)):
            text = " ".join(texts)
            sound = bool(text) and bool(_SOUND.fullmatch(text))
            if reason or sound or row.values["comment"]:
                doc = Doc(ids("cue", text), text, code, f"{path.name}:{row.line}", {"start": start, "end": end})
                why = "comment" if row.values["comment"] else reason or "sound"
                dropped += [Drop(doc, f"subtitles.{why}")] if text else []
            elif text:
                spans.append(Span(start, end, text, row.line, speaker))
    return spans, code, dropped


def _plain(raw: list[str]) -> tuple[list[str], str]:
    """The lines of a cue without tags, and who speaks."""
    joined = "\n".join(raw)
    voice = re.search(r"<v(?:\.[^\s>]*)?\s+([^>]+)>", joined)
    text = html.unescape(_TAG.sub("", joined))
    speaker = voice[1].strip() if voice else ""
    named = None if voice else _SPEAKER.match(text)
    if named and named[1].isupper() and "\n" not in named[0]:
        speaker, text = named[1], text[named.end() :]
    return [line.strip() for line in text.split("\n")], speaker


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, rest = parts
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0) + float(f"0.{rest}" if rest else 0)


def _is_name(text: list[str], web: bool, first: bool) -> bool:
    """Whether the last line read is the number or name of the cue that comes, and no text of the one before."""
    if text[-1].strip().isdecimal():
        return True
    return web and bool(text[-1].strip()) and (first if len(text) == 1 else not text[-2].strip())


def _cues(path: Path, cfg: Config) -> Iterator[Row | Bad]:
    """Cues with their lines; a cue ends where the next one's times begin, so that blank lines inside it do no harm."""
    open_row: dict[str, Any] = {"start": 0.0, "end": 0.0, "text": [], "comment": True, "rolling": None}
    begun, before, web, rolling = 1, "", False, None
    for number, raw in lines(path, cfg.encoding):
        line = raw.strip("\r\n").lstrip("\ufeff") if number == 1 else raw.strip("\r\n")
        web = web or (number == 1 and line.startswith("WEBVTT"))
        timing = _TIMING.match(line)
        rolling = True if web and re.search(r"<\d\d:\d\d", line) else rolling
        text: list[str] = open_row["text"]
        if timing:
            # The line before is the cue's number; in WebVTT any name, with a blank line before it.
            if text and _is_name(text, web, open_row["comment"]):
                text.pop()
            yield Row(begun, open_row)
            found = timing.groups()
            open_row = {"start": _seconds(found[:4]), "end": _seconds(found[4:]), "text": [], "comment": False,
                        "rolling": rolling}  # fmt: skip
            begun = number
        elif re.search(r"\d\s*-+>|-->\s*\d", line):
            yield Row(begun, open_row)
            # What stands below a time that cannot be read belongs to no cue.
            open_row = {"start": 0.0, "end": 0.0, "text": [], "comment": True, "rolling": None}
            begun = number
            yield Bad(Problem(path.name, number, "time", "a time that cannot be read", "write 00:01:02,500 --> 00:01:04,000"), line)  # fmt: skip
        elif web and re.match(r"(NOTE|STYLE|REGION|WEBVTT|X-TIMESTAMP)\b", line) and not before.strip():
            yield Row(begun, open_row)
            open_row = {"start": 0.0, "end": 0.0, "text": [], "comment": True, "rolling": None}
            begun = number
            if line.startswith("NOTE"):
                open_row["text"].append(line)
        else:
            text.append(line)
        before = line
    yield Row(begun, open_row)
