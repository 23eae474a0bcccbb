"""Recognise speech with Whisper through faster-whisper: passages with their times, words, and how sure each is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.data.languages import aliases, language
from endonym.errors import MissingError
from endonym.ingest import sound

if TYPE_CHECKING:
    import numpy as np

VERSION = 2
TOKENS = 15
"""Tokens a second of speech at most: what says more runs in a circle."""
VARIED = 0.5
"""Share of different ones among the four-letter pieces of a text below which it runs in a circle."""


@dataclass(frozen=True)
class Word:
    """One recognised word, its seconds and its probability."""

    text: str
    begin: float
    end: float
    probability: float


@dataclass(frozen=True)
class Passage:
    """What was said between two pauses; no words where the recogniser does not know the language."""

    begin: float
    end: float
    words: tuple[Word, ...] = ()

    @property
    def text(self) -> str:
        return "".join(word.text for word in self.words).strip()

    @property
    def confidence(self) -> float:
        """Mean probability of the words by their length, 0 without words."""
        total = sum(len(word.text) for word in self.words)
        return sum(len(word.text) * word.probability for word in self.words) / total if total else 0.0


def listen(path: Path, model: Path | None, code: str) -> Iterator[Passage]:
    """Yield the passages of a recording in order; each window is kept, so that an interrupted run goes on."""
    from endonym.ingest.recognised import once
    from endonym.store.files import file_hash

    digest = file_hash(path)
    spoken = whisper_code(code) if model and knows(model, code) else ""
    name = f"{model.name}:{(model / 'model.bin').stat().st_size}" if model and spoken else "none"
    for start, samples in sound.windows(path):

        def hear(start: float = start, samples: np.ndarray = samples) -> dict[str, Any]:
            found = [asdict(one) for one in _heard(samples, start, model, spoken)]
            return {"passages": found}

        kept = once(hear, "speech", digest, str(VERSION), name, spoken, f"{start:.0f}", f"{sound.WINDOW:.0f}")
        for one in kept["passages"]:
            yield Passage(one["begin"], one["end"], tuple(Word(**word) for word in one["words"]))


def knows(model: Path, code: str) -> bool:
    """Whether a Whisper model was trained on a language (an English-only one knows no other)."""
    short = whisper_code(code)
    if not short:
        return False
    return short in _loaded(model).supported_languages


def whisper_code(code: str) -> str:
    """Whisper's code of a language, which is its ISO 639-1 code; `""` when it has none."""
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    own = language(code).code
    names = [code, own, *(alias for alias in aliases() if language(alias).code == own)]
    return next((name for name in names if name in _LANGUAGE_CODES), "")


def _heard(samples: np.ndarray, start: float, model: Path | None, code: str) -> Iterator[Passage]:
    for first, last in sound.passages(samples):
        begin, end = start + first / sound.RATE, start + last / sound.RATE
        words: list[Word] = []
        if model and code:
            segments, _ = _loaded(model).transcribe(
                samples[first:last], language=code, beam_size=5, word_timestamps=True, condition_on_previous_text=False,
                temperature=0.0, vad_filter=False, max_new_tokens=min(220, 20 + int(TOKENS * (last - first) / sound.RATE)),
            )  # fmt: skip
            for segment in segments:
                if _loops(segment.text):
                    continue
                words += [
                    Word(w.word, round(begin + w.start, 2), round(begin + w.end, 2), round(w.probability, 3))
                    for w in segment.words or ()
                ]
        yield Passage(round(begin, 2), round(end, 2), tuple(words))


def _loops(text: str) -> bool:
    """Whether a recogniser says the same again and again, as Whisper does in a language it hardly knows.

    Whisper's own measure, how well bytes compress, takes every text in a script of three bytes a letter for one.
    """
    pieces = [text[i : i + 4] for i in range(len(text) - 3)]
    return len(pieces) >= 30 and len(set(pieces)) < VARIED * len(pieces)


@lru_cache(maxsize=1)
def _loaded(model: Path) -> Any:
    try:
        from faster_whisper import WhisperModel
    except ModuleNotFoundError as error:
        raise MissingError(
            "reading recordings needs the Python module 'faster_whisper'",
            "Install it with: pip install 'endonym[audio]'",
        ) from error
    import os

    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return WhisperModel(str(model), device="auto", compute_type="int8", cpu_threads=threads, local_files_only=True)
