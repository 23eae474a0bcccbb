"""Open recordings as 16 kHz mono, window by window in bounded memory, and cut pieces out of them to be heard."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.errors import DataError, MissingError, Problem

if TYPE_CHECKING:
    import numpy as np

RATE = 16_000
WINDOW = 240.0
"""Seconds that are in memory at once."""
PAUSE_MS = 400
"""Silence that ends a passage."""
LONGEST = 20.0
"""Seconds of a passage at most; Whisper hears 30 at once."""
PIECE = 60.0
"""Longest piece that is cut out to be heard."""
Speech = tuple[float, "np.ndarray"]


def windows(path: Path) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (seconds from the start, samples) in windows of at most `WINDOW`. Raises DataError for what is no sound."""
    import numpy as np

    most, held, size, at = int(WINDOW * RATE), [], 0, 0
    found = False
    for block in _blocks(path):
        found = True
        held.append(block)
        size += len(block)
        while size >= most:
            joined = np.concatenate(held)
            yield at / RATE, joined[:most]
            held, size, at = [joined[most:]], size - most, at + most
    if not found:
        raise DataError(Problem(path.name, 0, "", "there is no sound in this file", "record or export it again"))
    if size:
        yield at / RATE, np.concatenate(held)


def passages(samples: np.ndarray) -> list[tuple[int, int]]:
    """(first, last) sample of each passage with speech: Silero's voice activity detection, as faster-whisper brings it."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(min_silence_duration_ms=PAUSE_MS, speech_pad_ms=200, max_speech_duration_s=LONGEST)
    return [(int(one["start"]), int(one["end"])) for one in get_speech_timestamps(samples, options)]


def wav_piece(path: Path, begin: float, end: float) -> bytes:
    """The seconds from `begin` to `end`, `PIECE` at most, as a WAV file."""
    import numpy as np

    first, last = max(0, int(begin * RATE)), int(min(end, begin + PIECE) * RATE)
    held, at = [], 0
    for block in _blocks(path):
        held.append(block[max(0, first - at) : max(0, last - at)])
        at += len(block)
        if at >= last:
            break
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(np.concatenate(held), -1, 1) * 32767).astype("<i2").tobytes())
    return out.getvalue()


def _blocks(path: Path) -> Iterator[np.ndarray]:
    """Samples between -1 and 1 as they are decoded. FFmpeg's libraries come with PyAV; no program is called."""
    try:
        import av
    except ModuleNotFoundError as error:
        raise MissingError("reading sound needs the Python module 'av'", "pip install 'endonym[audio]'") from error
    try:
        with av.open(str(path), mode="r", metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise DataError(Problem(path.name, 0, "", "there is no sound in this file", "export the sound track"))
            resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
            for frame in container.decode(audio=0):
                yield from map(_samples, resampler.resample(frame))
            yield from map(_samples, resampler.resample(None))
    except av.error.FFmpegError as error:
        raise DataError(Problem(path.name, 0, "", f"the sound cannot be decoded: {error.strerror}",
                                "export it again as WAV, MP3, FLAC or Ogg")) from error  # fmt: skip


def _samples(frame: Any) -> np.ndarray:
    import numpy as np

    return frame.to_ndarray().reshape(-1).astype(np.float32) / 32768
