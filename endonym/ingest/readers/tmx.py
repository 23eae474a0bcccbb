"""Read translation memories in TMX: a pair for every unit that has both languages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.languages import language
from endonym.errors import DataError, Problem
from endonym.ingest.ids import Ids
from endonym.types import Doc, Drop, Pair, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".tmx",)
CHUNK = 2**16
MAX_UNIT = 2**20
"""Characters in one segment; more is a broken file."""
_MARKUP = frozenset(("bpt", "ept", "ph", "it", "ut"))


class Config(BaseModel):
    """Settings of reading TMX."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language to take; the project's when empty.")
    pivot: str = Field("", description="Pivot language to take; the project's when empty.")


def sniff(sample: Sample) -> float:
    """High where the file starts as TMX does."""
    return 0.95 if "<tmx" in sample.head[:4000] else 0.0


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Pair` for every unit; units without one of the languages go to the ledger. Raises DataError on broken XML."""
    ids = Ids()
    seen: Counter[str] = Counter()
    kept = 0
    for line, segments in _units(path):
        seen.update({code for code, _ in segments})
        texts: dict[str, str] = {}
        for code, text in segments:
            texts.setdefault(code, text)
        origin = f"{path.name}:{line}"
        source, target = texts.get(cfg.language, "").strip(), texts.get(cfg.pivot, "").strip()
        if source and target:
            kept += 1
            yield Pair(
                ids("pair", cfg.language, source, cfg.pivot, target), source, target, cfg.language, cfg.pivot, origin
            )
        else:
            both = " | ".join(f"{code}: {text}" for code, text in segments)
            lacks = cfg.pivot if source else cfg.language
            yield Drop(Doc(ids("unit", both), both, "", origin), "tmx.one_side", f"it has no text in {lacks}")
    if not kept:
        found = ", ".join(f"{code} ({number})" for code, number in seen.most_common()) or "none"
        raise DataError(Problem(path.name, 0, "xml:lang", f"no unit has both {cfg.language} and {cfg.pivot}",
                                f"the file has {found}; set language and pivot in the source's settings"))  # fmt: skip


def _units(path: Path) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Stream (line, [(language, text)]) of the units, in bounded memory; external entities are not followed."""
    parser = expat.ParserCreate()
    state = _State(path, parser)
    parser.StartElementHandler, parser.EndElementHandler = state.start, state.end
    parser.CharacterDataHandler = state.data
    with path.open("rb") as file:
        while True:
            chunk = file.read(CHUNK)
            try:
                parser.Parse(chunk, not chunk)
            except expat.ExpatError as error:
                raise DataError(Problem(path.name, error.lineno, "", f"not well-formed XML: {expat.ErrorString(error.code)}",
                                        "repair the markup on this line, or export the memory again")) from error  # fmt: skip
            yield from state.done
            state.done.clear()
            if not chunk:
                return


class _State:
    def __init__(self, path: Path, parser: Any):
        self.path, self.parser = path, parser
        self.done: list[tuple[int, list[tuple[str, str]]]] = []
        self.unit: list[tuple[str, str]] = []
        self.line = 0
        self.code = ""
        self.text: list[str] | None = None
        self.size = 0
        self.inside = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "tu":
            self.unit, self.line = [], self.parser.CurrentLineNumber
        elif tag == "tuv":
            self.code = language(attributes.get("xml:lang") or attributes.get("lang") or "").code
        elif tag == "seg":
            self.text, self.size = [], 0
        elif tag in _MARKUP:
            self.inside += 1

    def end(self, tag: str) -> None:
        if tag == "seg" and self.text is not None:
            self.unit.append((self.code, "".join(self.text)))
            self.text = None
        elif tag == "tu":
            self.done.append((self.line, self.unit))
        elif tag in _MARKUP:
            self.inside -= 1

    def data(self, data: str) -> None:
        # Codes of the original format (<bpt>, <ph>) are not words of the sentence.
        if self.text is None or self.inside:
            return
        self.text.append(data)
        self.size += len(data)
        if self.size > MAX_UNIT:
            line = self.parser.CurrentLineNumber
            raise DataError(Problem(self.path.name, line, "seg", f"a segment of more than {MAX_UNIT:,} characters",
                                    "a closing </seg> is probably missing; repair it"))  # fmt: skip
