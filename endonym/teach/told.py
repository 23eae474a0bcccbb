"""A sentence of a step, in English and as parts by key, so that a page can say it in another language."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from endonym.config import read_toml

Part = tuple[str, Mapping[str, str | int | float]]


@lru_cache(maxsize=1)
def sentences() -> dict[str, str]:
    """The parts of all sentences by their keys, with {places} for values."""
    return {key: str(text) for key, text in read_toml(Path(__file__).with_name("sentences.toml")).items()}


class Told(str):
    """The English sentence; `parts` are the keys it was put together of, each with its values."""

    __slots__ = ("parts",)
    parts: list[Part]

    @classmethod
    def of(cls, *parts: str | Part) -> Told:
        """Put a sentence together; a part without values is a key alone, and an empty one is left out."""
        whole: list[Part] = [(part, {}) if isinstance(part, str) else part for part in parts if part]
        told = cls(
            "".join(sentences()[key].format(**{n: _shown(v) for n, v in values.items()}) for key, values in whole)
        )
        told.parts = whole
        return told


def _shown(value: str | int | float) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
