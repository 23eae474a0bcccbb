"""Read translation memories in TMX: a pair for every unit that has both languages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.languages import language
from endonym.errors import DataError, Problem
from endonym.ingest.ids import Ids
from endonym.ingest.xml_stream import Node, nodes
from endonym.types import Doc, Drop, Pair, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".tmx",)
PACKED = True
MAX_UNIT = 2**20
"""Characters in one unit; more is a broken file."""
_MARKUP = frozenset(("bpt", "ept", "ph", "it", "ut"))


class Config(BaseModel):
    """Settings of reading TMX."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language to take; the project's when empty.")
    pivot: str = Field("", description="Pivot language to take; the project's when empty.")


def sniff(sample: Sample) -> float:
    """High where the file starts as TMX does."""
    return 0.95 if sample.begins("tmx") else 0.0


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
    """Stream (line, [(language, text)]) of the units, in bounded memory."""
    for unit in nodes(path, ("tu",), most=MAX_UNIT):
        yield (
            unit.line,
            [
                (language(said.get("xml:lang") or said.get("lang")).code, _said(segment))
                for said in unit.children("tuv")
                for segment in said.children("seg")
            ],
        )


def _said(node: Node) -> str:
    """The text of a segment. Codes of the original format (`<bpt>`, `<ph>`) are not words of the sentence."""
    return "".join(
        part if isinstance(part, str) else _said(part)
        for part in node.content
        if isinstance(part, str) or part.tag not in _MARKUP
    )
