"""Forgetting: bits per byte on general text, before training and after; what rises was unlearned.

General text is a file of yours, a text a line, that nobody trains on (`files`). Without one it is what the sealed test holds in the
pivot language, as plain text without any question around it. That text is of the project's own field: a model can get better on it
while it gets worse at everything else, so the default sees less forgetting than there is. Comparing base and trained model on
the same texts, by paired bootstrap, is left to `compare`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from endonym.errors import MissingError
from endonym.evaluate import bits
from endonym.evaluate.items import Item, Run
from endonym.types import Chat, Message, Score, record_id

if TYPE_CHECKING:
    from endonym.evaluate.own import Material

NEEDS = "nats"
TASKS = ("forgetting",)
READS = ("files",)


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    files: list[str] = Field(
        [], description="Text files of general text, a text a line; empty for the test's side in the pivot language."
    )
    texts: int = Field(64, ge=1, description="Texts measured, drawn with the evaluation's seed.")
    resamples: int = Field(1000, ge=100, description="Bootstrap resamples for the interval.")
    seed: int = Field(12345, description="Seed of the bootstrap.")


def questions(material: Material, cfg: Config) -> Iterator[Item]:
    """General texts as items without a prompt. Raises MissingError when a named file is not there."""
    found = _of_files(material, cfg) if cfg.files else _of_test(material)
    drawn = sorted(found, key=lambda text: hashlib.sha256(f"{material.seed}:{text}".encode()).digest())
    language = "" if cfg.files else material.pivot
    for text in drawn[: cfg.texts]:
        chat = Chat(record_id("forgetting", text), (Message("assistant", text),), found[text], "forgetting", language)
        yield Item(chat.id, "forgetting", language, "", (text,), chat)


def score(run: Run, cfg: Config) -> list[Score]:
    """Score `run`; nothing for a system without probabilities."""
    text = "files" if cfg.files else "pivot side of the test"
    name = "bits/byte on general text"
    return bits.bits_per_byte(run, name, f"forgetting|text:{text}", cfg.resamples, cfg.seed)


def _of_files(material: Material, cfg: Config) -> dict[str, str]:
    """Texts of the named files with where each comes from."""
    found: dict[str, str] = {}
    for name in cfg.files:
        path = Path(name) if Path(name).is_absolute() else material.project / name
        if not path.is_file():
            hint = "Name a text file with --forgetting.files, from the project's folder on."
            raise MissingError(f"the general text {path} is not there", hint)
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
            if line.strip():
                found.setdefault(line.strip(), f"{name}:{number}")
    return found


def _of_test(material: Material) -> dict[str, str]:
    """What the records of the sealed test say in the pivot language."""
    found: dict[str, str] = {}
    for record in material.split.records("test"):
        for language, text in record.texts():
            if language == material.pivot and text.strip():
                found.setdefault(text.strip(), record.origin)
    return found
