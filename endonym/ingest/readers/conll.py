"""Read sentences with a tag for each word: a word a line, its tag in the last column, a blank line after a sentence (CoNLL)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from endonym.ingest.encoding import lines
from endonym.ingest.ids import Ids
from endonym.types import Doc, Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".conll", ".conllu", ".bio", ".iob", ".tsv", ".txt")
COMMENT, DOCUMENT = re.compile(r"#($|\s)"), "-DOCSTART-"
TAG = re.compile(r"O|[BIESLU]-\S+")
"""Tags that say where a name begins and goes on."""
ENOUGH = 0.8
"""Share of the lines that must have such a tag."""


class Config(BaseModel):
    """Settings of reading tagged words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language of the sentences; the project's when empty.")
    word: int = Field(1, ge=1, description="Column of the words, counted from 1.")
    tag: int = Field(0, ge=0, description="Column of the tags, counted from 1; 0 is the last.")
    encoding: str = Field("", description="Encoding of the file; found when empty.")


def sniff(sample: Sample) -> float:
    """High where lines of two columns or more end with a tag of names, and blank lines stand between them."""
    if sample.head.lstrip().startswith(("<", "{", "[")) or sample.form:
        return 0.0
    found = [line for line in sample.head.split("\n")[:-1] if not _aside(line)]
    words = [line.split() for line in found if line.strip()]
    tagged = sum(len(cells) > 1 and TAG.fullmatch(cells[-1]) is not None for cells in words)
    return 0.95 if len(words) > 2 and tagged >= ENOUGH * len(words) and any(not line.strip() for line in found) else 0.0


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Doc` with `meta["tags"]` for every sentence, its words parted by blanks; one with a line that has no tag goes to the ledger."""
    ids = Ids()
    begun, document, words = 0, 0, list[list[str]]()

    def sentence() -> Iterator[Record | Drop]:
        if not words:
            return
        column = cfg.tag or max(map(len, words))
        text = " ".join(cells[cfg.word - 1] if len(cells) >= cfg.word else "" for cells in words)
        # A file that marks no documents is none itself: its sentences could then never be divided into training and test.
        meta = {"document": f"{path.stem} {document}"} if document else {}
        tags = [cells[column - 1] for cells in words if len(cells) >= column > 1]
        doc = Doc(
            ids("conll", cfg.language, text, *tags), text, cfg.language, f"{path.name}:{begun}", {**meta, "tags": tags}
        )
        bad = next((cells for cells in words if len(cells) < max(column, cfg.word, 2)), None)
        parted = next(
            (cells[cfg.word - 1] for cells in words if bad is None and len(cells[cfg.word - 1].split()) != 1), None
        )
        if bad is not None:
            yield Drop(doc, "conll.no_tag", f"'{' '.join(bad)}' has {len(bad)} columns, wanted {max(column, 2)}")
        elif parted is not None:
            yield Drop(doc, "conll.white_space", f"the word '{parted}' has white space in it")
        else:
            yield doc

    for number, raw in lines(path, cfg.encoding):
        line = raw.strip("\r\n").lstrip("\ufeff")
        if line.startswith(DOCUMENT):
            document += 1
        if line.strip() and not _aside(line):
            begun = begun if words else number
            words.append([cell.strip() for cell in (line.split("\t") if "\t" in line else line.split())])
        elif not line.strip() or line.startswith(DOCUMENT):
            yield from sentence()
            words = []
    yield from sentence()


def _aside(line: str) -> bool:
    """Whether a line says something about sentences and is none of their words."""
    # A word may be `#`: it has a tag behind it.
    return line.startswith(DOCUMENT) or (COMMENT.match(line) is not None and "\t" not in line)
