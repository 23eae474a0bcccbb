"""Read annotated recordings of ELAN (.eaf): a pair for every utterance with its translation, with its times and speaker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from endonym.data.languages import language
from endonym.errors import DataError, Problem
from endonym.ingest.tiers import Annotation, Tier, TierConfig, read_tiers
from endonym.ingest.xml_stream import Node, nodes
from endonym.types import Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".eaf",)


class Config(TierConfig):
    """Settings of reading ELAN files."""


def sniff(sample: Sample) -> float:
    """High where the file starts as an annotation document does."""
    return 0.95 if sample.begins("ANNOTATION_DOCUMENT") else 0.0


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield the utterances tier by tier; glosses, notes and other tiers go to the ledger. Raises DataError on broken XML."""
    yield from read_tiers(path, _tiers(path), cfg, "elan")


def _tiers(path: Path) -> list[Tier]:
    tiers: dict[str, Tier] = {}
    types: dict[str, Node] = {}
    languages: dict[str, str] = {}
    slots: dict[str, float] = {}
    found: list[tuple[str, Node]] = []
    refs: dict[str, str] = {}
    for node in nodes(path, ("TIME_SLOT", "TIER", "LINGUISTIC_TYPE", "LANGUAGE")):
        if node.tag == "TIME_SLOT":
            # A slot without a time lies between its neighbours; its annotation takes the time of its parent.
            if node.get("TIME_VALUE"):
                slots[node.get("TIME_SLOT_ID")] = _milliseconds(path, node) / 1000
        elif node.tag == "LINGUISTIC_TYPE":
            types[node.get("LINGUISTIC_TYPE_ID")] = node
        elif node.tag == "LANGUAGE":
            languages[node.get("LANG_ID")] = node.get("LANG_DEF")
        else:
            name = node.get("TIER_ID")
            tiers[name] = Tier(name, node.get("LINGUISTIC_TYPE_REF"), node.get("LANG_REF"), node.get("PARTICIPANT"),
                               bool(node.get("PARENT_REF")))  # fmt: skip
            for one in node.inside("ALIGNABLE_ANNOTATION", "REF_ANNOTATION"):
                found.append((name, one))
                refs[one.get("ANNOTATION_ID")] = one.get("ANNOTATION_REF")
    for tier in tiers.values():
        tier.declared = _code(tier.declared, languages)
    _fill(tiers, found, slots, refs)
    return list(tiers.values())


def _fill(tiers: dict[str, Tier], found: list[tuple[str, Node]], slots: dict[str, float], refs: dict[str, str]) -> None:
    times: dict[str, tuple[float, float]] = {}
    for _, node in found:
        begin, end = slots.get(node.get("TIME_SLOT_REF1")), slots.get(node.get("TIME_SLOT_REF2"))
        if begin is not None and end is not None:
            times[node.get("ANNOTATION_ID")] = (begin, end)
    for name, node in found:
        key = up = node.get("ANNOTATION_ID")
        for _ in range(len(refs)):
            if up in times or not refs.get(up):
                break
            up = refs[up]
        begin, end = times.get(up, (0.0, 0.0))
        value = node.first("ANNOTATION_VALUE")
        text = value.text().strip() if value else ""
        tiers[name].annotations.append(Annotation(begin, end, text, node.line, tiers[name].speaker, key, refs[key]))
    for tier in tiers.values():
        if not tier.depends:
            tier.annotations.sort(key=lambda one: one.start)


def _code(reference: str, languages: dict[str, str]) -> str:
    """ISO 639-3 code of a language the file declares; its id is the code, or stands at the end of its address."""
    if not reference:
        return ""
    at_end = languages.get(reference, "").rstrip("/").rpartition("/")[2]
    code = reference if len(reference) in (2, 3) else at_end if len(at_end) in (2, 3) else ""
    return "" if code in ("und", "mis", "mul", "zxx") else language(code).code if code else ""


def _milliseconds(path: Path, node: Node) -> int:
    try:
        return int(node.get("TIME_VALUE"))
    except ValueError:
        raise DataError(Problem(path.name, node.line, "TIME_VALUE", f"'{node.get('TIME_VALUE')}' is no number of milliseconds",
                                "correct the number, or open and save the file in ELAN")) from None  # fmt: skip
