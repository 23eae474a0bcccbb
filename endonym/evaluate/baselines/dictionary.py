"""Translate word by word with the dictionary and a lexicon learned from the training pairs; takes seconds and is strong.

Each word becomes its likeliest translation by IBM model 1 over training pairs and dictionary glosses (Brown et al. 1993); an
inflected form takes that of the known word most like it; a word without any stays as it is, and so do punctuation and order.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.dataset import Dataset
from endonym.evaluate.items import direction_of, source_of
from endonym.retrieve.indexes import dictionary
from endonym.types import Chat, Entry, Pair

TASKS = ("translate", "lookup")


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    iterations: int = Field(6, ge=1, description="Passes of expectation maximisation.")
    least: float = Field(0.08, ge=0, le=1, description="Least probability of a translation that is used.")


def prepare(train: Dataset, cfg: Config) -> Callable[[Chat], str]:
    """Learn the lexicon from the training split and return the word-by-word translator."""
    records = [record for record in train.records("train") if isinstance(record, (Pair, Entry))]
    settings = dictionary.Config(iterations=cfg.iterations, least=cfg.least, folds=1)
    with tempfile.TemporaryDirectory() as folder:
        dictionary.build(records, settings, Path(folder))
        index = dictionary.WordIndex.load(Path(folder))

    def answer(chat: Chat) -> str:
        source, _, target = direction_of(chat).partition(">")
        return index.draft(source_of(chat), source, target)

    return answer
