"""A transcript that lies beside a recording, and the times its lines have in it."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from endonym import plugins
from endonym.data.edits import ErrorRates, distance, error_rates
from endonym.errors import DataError, Problem
from endonym.ingest.speech import Passage, Word
from endonym.types import Drop, Record

TIMED = {".srt": "subtitles", ".vtt": "subtitles", ".TextGrid": "textgrid", ".eaf": "elan", ".cha": "cha"}
"""Readers of the formats that have times of their own, and may have translations beside what is said."""
SUFFIXES = (".txt", *TIMED)
TABLE = "transcripts.tsv"
MAX_BYTES = 32 * 2**20
MAX_CELLS = 250_000
"""Pairs of words up to which two stretches between anchors are compared each with each."""


@dataclass(frozen=True)
class Said:
    """One line of a transcript; begin and end are seconds where the file gives them, else -1."""

    line: int
    text: str
    begin: float = -1.0
    end: float = -1.0
    confidence: float = 0.0
    """Share of its characters found in what was recognised at its place."""


def beside(recording: Path) -> Path | None:
    """The transcript of a recording: a file of its name, or a `transcripts.tsv` that has a row for it."""
    for suffix in SUFFIXES:
        path = recording.with_suffix(suffix)
        if path.is_file():
            return path
    table = recording.with_name(TABLE)
    return table if table.is_file() and _row(table, recording.name) else None


def declared(recording: Path) -> str:
    """Language code that a `transcripts.tsv` names for a recording, `""` when there is none."""
    table = recording.with_name(TABLE)
    row = _row(table, recording.name) if table.is_file() else None
    return row[2] if row else ""


def lines(path: Path, recording: Path, code: str, pivot: str = "") -> list[Said]:
    """The lines of a transcript in the language `code`, timed where the format has times. Raises DataError for a file that cannot be read."""
    if path.stat().st_size > MAX_BYTES:
        raise DataError(Problem(path.name, 0, "", "too large for the transcript of one recording", "split it"))
    if path.suffix in TIMED:
        said = [line(item, code) for item in timed(path, code, pivot) if not isinstance(item, Drop)]
        return [one for one in said if one.text]
    if path.suffix == ".tsv":
        row = _row(path, recording.name)
        return [Said(row[0], row[1])] if row else []
    return [Said(number, text.strip()) for number, text in enumerate(_text(path).splitlines(), 1) if text.strip()]


def timed(path: Path, code: str, pivot: str) -> Iterator[Record | Drop]:
    """All that a transcript with times holds, by the reader of its format."""
    reader = plugins.load("reader", TIMED[path.suffix])
    yield from reader.read(path, reader.Config(language=code, pivot=pivot))


def line(record: Record, code: str) -> Said:
    """What is said in a record of a transcript, `""` where it is in another language."""
    text = next((text for language, text in record.texts() if language == code), "")
    times = float(record.meta.get("start", -1.0)), float(record.meta.get("end", -1.0))
    return Said(int(record.origin.rpartition(":")[2]), text, *times)


def align(said: Sequence[Said], passages: Sequence[Passage]) -> list[Said]:
    """Give every line the seconds in which it is spoken, and how much of it was recognised there.

    Words that both sides share in order are anchors; between them words are matched by dynamic programming over their edit
    distances, and what matches nothing is laid between its neighbours by its length. Without recognised words the lines
    are laid over the speech by their length, with confidence 0.
    """
    heard = [word for passage in passages for word in passage.words if folded(word.text)]
    if not heard:
        return _spread(said, passages)
    words = [(number, piece) for number, one in enumerate(said) for piece in folded(one.text).split()]
    pairs = _match([piece for _, piece in words], [folded(word.text) for word in heard])
    matched: dict[int, list[tuple[Word, float, int]]] = {}
    for (number, piece), (found, alike) in zip(words, pairs):
        if found is not None:
            matched.setdefault(number, []).append((heard[found], alike, len(piece)))
    placed = []
    for number, one in enumerate(said):
        here = matched.get(number, [])
        letters = sum(len(piece) for piece in folded(one.text).split())
        sure = sum(alike * length for _, alike, length in here) / max(1, letters)
        begin, end = (here[0][0].begin, here[-1][0].end) if here else (-1.0, -1.0)
        if one.begin >= 0:
            begin, end = one.begin, one.end
        placed.append(Said(one.line, one.text, begin, end, round(min(1.0, sure), 3)))
    return _filled(placed, passages)


def errors(said: Sequence[Said], passages: Sequence[Passage]) -> ErrorRates:
    """Errors of what was recognised against a transcript, both without punctuation and in small letters."""
    heard = " ".join(passage.text for passage in passages)
    return error_rates(folded(" ".join(one.text for one in said)), folded(heard))


def folded(text: str) -> str:
    """Small letters (NFC) without punctuation and symbols: what a transcript and a recogniser may be compared in."""
    kept = (
        " " if unicodedata.category(char)[0] in "PSZ" else char
        for char in unicodedata.normalize("NFC", text.casefold())
    )
    return " ".join("".join(kept).split())


def _match(given: Sequence[str], heard: Sequence[str]) -> list[tuple[int | None, float]]:
    """For each given word its recognised word (None for none) and how alike they are, in order on both sides."""
    found: list[tuple[int | None, float]] = [(None, 0.0)] * len(given)
    at, other = 0, 0
    for i, j, length in SequenceMatcher(None, given, heard, autojunk=False).get_matching_blocks():
        for a, b, alike in _gap(given[at:i], heard[other:j]):
            found[at + a] = (other + b, alike)
        for k in range(length):
            found[i + k] = (j + k, 1.0)
        at, other = i + length, j + length
    return found


def _gap(given: Sequence[str], heard: Sequence[str]) -> list[tuple[int, int, float]]:
    """Cheapest in-order matching of two stretches; a word left over costs one, as two that have nothing in common do."""
    rows, columns = len(given), len(heard)
    if not rows or not columns or rows * columns > MAX_CELLS:
        return []
    alike = [[1 - distance(a, b) / max(len(a), len(b)) for b in heard] for a in given]
    best = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            best[i][j] = max(best[i + 1][j], best[i][j + 1], best[i + 1][j + 1] + alike[i][j])
    pairs, i, j = [], 0, 0
    while i < rows and j < columns:
        if best[i][j] == best[i + 1][j + 1] + alike[i][j]:
            if alike[i][j] > 0.3:
                pairs.append((i, j, alike[i][j]))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def _spread(said: Sequence[Said], passages: Sequence[Passage]) -> list[Said]:
    total, speech = sum(len(one.text) for one in said), sum(p.end - p.begin for p in passages)
    placed, at = [], 0.0
    for one in said:
        share = speech * len(one.text) / max(1, total)
        begin, end = _clock(passages, at), _clock(passages, at + share)
        at += share
        times = (one.begin, one.end) if one.begin >= 0 else (begin, end)
        placed.append(Said(one.line, one.text, *times))
    return placed


def _clock(passages: Sequence[Passage], spoken: float) -> float:
    """The second of the recording at which so many seconds of speech have gone by."""
    for passage in passages:
        if spoken <= passage.end - passage.begin:
            return round(passage.begin + spoken, 2)
        spoken -= passage.end - passage.begin
    return passages[-1].end if passages else 0.0


def _filled(placed: Sequence[Said], passages: Sequence[Passage]) -> list[Said]:
    """Lay lines of which nothing was recognised between their neighbours, by their length."""
    out = list(placed)
    edge = passages[0].begin if passages else 0.0
    number = 0
    while number < len(out):
        if out[number].begin >= 0:
            edge = out[number].end
            number += 1
            continue
        last = next((k for k in range(number, len(out)) if out[k].begin >= 0), len(out))
        until = out[last].begin if last < len(out) else passages[-1].end
        room, total = max(0.0, until - edge), sum(len(one.text) for one in out[number:last])
        for k in range(number, last):
            end = edge + room * len(out[k].text) / max(1, total)
            out[k] = Said(out[k].line, out[k].text, round(edge, 2), round(end, 2))
            edge = end
        number = last
    return out


def _row(table: Path, name: str) -> tuple[int, str, str] | None:
    """(line, text, language) of a recording in a table with the columns `file` and `text`, and perhaps `lang`."""
    rows = csv.reader(_text(table).split("\n"), delimiter="\t", quoting=csv.QUOTE_NONE)
    header = [cell.strip().lower() for cell in next(rows, [])]
    if "file" not in header or "text" not in header:
        return None
    for number, row in enumerate(rows, 2):
        cells = dict(zip(header, row))
        if cells["file"] in (name, Path(name).stem) and cells.get("text", "").strip():
            return number, cells["text"].strip(), cells.get("lang", cells.get("language", ""))
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(Problem(path.name, 0, "", "not UTF-8", "save the transcript as UTF-8")) from error
