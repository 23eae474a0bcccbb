"""Translate phrase by phrase with what the training pairs and the dictionary teach in seconds: statistical machine translation.

The same drafts stand in the model's prompt, so a model that does not beat this adds nothing to its hints (`data/phrases.py`; Koehn,
Och and Marcu, Statistical Phrase-Based Translation, NAACL 2003).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.dataset import Dataset
from endonym.evaluate.items import direction_of, source_of
from endonym.retrieve.indexes import phrases
from endonym.types import Chat, Entry, Pair

TASKS = ("translate",)


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    iterations: int = Field(6, ge=1, description="Passes of expectation maximisation when words are aligned.")
    beam: int = Field(8, ge=1, description="Unfinished translations kept side by side; more is slower.")


def prepare(train: Dataset, cfg: Config) -> Callable[[Chat], str]:
    """Learn the phrases of the training split and return the translator."""
    records = [record for record in train.records("train") if isinstance(record, (Pair, Entry))]
    with tempfile.TemporaryDirectory() as folder:
        phrases.build(records, phrases.Config(iterations=cfg.iterations, beam=cfg.beam), Path(folder))
        index = phrases.PhraseIndex.load(Path(folder))

    def answer(chat: Chat) -> str:
        source, _, target = direction_of(chat).partition(">")
        return index.draft(source_of(chat), source, target)

    return answer
