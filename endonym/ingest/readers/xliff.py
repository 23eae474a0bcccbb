"""Read translations in XLIFF 1.2 and 2, also as Trados and memoQ write it: a pair for every translated segment."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.languages import language
from endonym.errors import DataError, Problem
from endonym.ingest.ids import Ids
from endonym.ingest.xml_stream import Node, nodes
from endonym.types import Drop, Pair, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".xlf", ".xliff", ".sdlxliff", ".mqxliff", ".mxliff")
_CODES = frozenset(("bpt", "ept", "ph", "it", "ut", "x", "bx", "ex", "sc", "ec"))
"""Elements that stand for codes of the original format; what is inside is no text but for `<sub>` (XLIFF 1.2, section 2.3)."""
_UNTOUCHED = frozenset(("new", "needs-translation", "initial", "notstarted", "unspecified"))
_REJECTED = frozenset(("rejectedtranslation", "rejectedsignoff", "rejected"))
_CHECKED = frozenset(
    ("final", "signed-off", "reviewed", "approvedtranslation", "approvedsignoff", "translated",
     "confirmed", "manuallyconfirmed", "proofread", "reviewer1confirmed", "reviewer2confirmed")
)  # fmt: skip


class Config(BaseModel):
    """Settings of reading XLIFF."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language to take; the project's when empty.")
    pivot: str = Field("", description="Pivot language to take; the project's when empty.")
    checked: bool = Field(False, description="Take only segments whose state says translated, reviewed or final.")


def sniff(sample: Sample) -> float:
    """High where the file starts as XLIFF does."""
    return 0.95 if sample.begins("xliff") else 0.0


def marked(sample: Sample) -> list[tuple[str, str]]:
    """The languages the file itself names, with the attribute that does."""
    found = []
    for name in ("source-language", "target-language", "srcLang", "trgLang"):
        match = re.search(rf"\b{name}=[\"']([^\"']+)", sample.head)
        found += [(name, language(match[1]).code)] if match else []
    return found


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Pair` for every segment that is translated; the others go to the ledger. Raises DataError on broken XML."""
    ids, kept = Ids(), 0
    seen: Counter[str] = Counter()
    for unit in nodes(path, ("trans-unit", "unit")):
        codes = _languages(unit, cfg)
        for found in _segments(unit):
            first, second = codes
            seen[f"{first} to {second}"] += 1
            ident = ids("pair", found.field, first, found.source, second, found.target)
            pair = Pair(ident, found.source, found.target, first, second, f"{path.name}:{found.line}", found.meta)
            reason, detail = _reason(found, codes, cfg)
            kept += not reason
            yield Drop(pair, f"xliff.{reason}", detail) if reason else pair
    if not kept:
        raise _nothing(path, seen, cfg)


@dataclass
class _Segment:
    line: int
    source: str
    target: str
    meta: dict[str, Any]
    state: str = ""
    translate: bool = True
    field: str = "segment"


def _reason(found: _Segment, codes: tuple[str, str], cfg: Config) -> tuple[str, str]:
    """Why a segment is not used, and the detail; two empty texts for one that is."""
    state = found.state.lower()
    if not found.source.strip() and not found.target.strip():
        return "empty", "codes of the original format, and no text"
    if not found.translate:
        return "not_for_translation", "the file says translate=no"
    if found.field == "alt-trans":
        return "suggestion", "a suggestion of the translation memory"
    if set(codes) != {cfg.language, cfg.pivot}:
        return "other_language", f"{codes[0]} to {codes[1]}, wanted {cfg.language} and {cfg.pivot}"
    if not found.target.strip() or not found.source.strip():
        return "untranslated", "one side is empty"
    if state in _UNTOUCHED and found.source.strip() == found.target.strip():
        return "untranslated", f"state {found.state}: the source stands in the translation's place"
    if state in _REJECTED:
        return "rejected", f"state {found.state}"
    if cfg.checked and state not in _CHECKED:
        return "unchecked", f"state {found.state or 'not given'}"
    return "", ""


def _nothing(path: Path, seen: Counter[str], cfg: Config) -> DataError:
    found = ", ".join(f"{codes} ({number})" for codes, number in seen.most_common()) or "none"
    wanted = {f"{cfg.language} to {cfg.pivot}", f"{cfg.pivot} to {cfg.language}"}
    repair = "translate it first" if wanted & set(seen) else "set language and pivot in the source's settings"
    return DataError(Problem(path.name, 0, "target", f"no segment is translated between {cfg.language} and {cfg.pivot}",
                             f"the file has {found}; {repair}"))  # fmt: skip


def _languages(unit: Node, cfg: Config) -> tuple[str, str]:
    """Languages of source and target; a file that names no target is taken for the other one of the two wanted."""
    file, root = unit.around("file"), unit.around("xliff")
    first = (file.get("source-language") if file else "") or (root.get("srcLang") if root else "")
    second = (file.get("target-language") if file else "") or (root.get("trgLang") if root else "")
    for node in unit.inside("source"):
        first = first or node.get("xml:lang")
    for node in unit.inside("target"):
        second = second or node.get("xml:lang")
    one = language(first).code if first else cfg.pivot
    return one, language(second).code if second else cfg.language if one != cfg.language else cfg.pivot


def _segments(unit: Node) -> Iterator[_Segment]:
    about = _about(unit)
    if unit.tag == "unit":
        yield from _segments_2(unit, about)
        return
    translate = unit.get("translate") != "no"
    source, target, cut = unit.first("source"), unit.first("target"), unit.first("seg-source")
    states = {seg.get("id"): seg.get("conf") for seg in unit.inside("sdl:seg")}
    marks = {mark.get("mid"): mark for mark in target.inside("mrk") if mark.get("mtype") == "seg"} if target else {}
    pieces = [mark for mark in cut.inside("mrk") if mark.get("mtype") == "seg"] if cut else []
    state = (target.get("state") if target else "") or unit.get("mq:status")
    if pieces and (marks or not (target and plain(target).strip())):
        for piece in pieces:
            key = piece.get("mid")
            said = marks.pop(key, None)
            own = {**about, "segment": key}
            yield _segment(piece, plain(piece), plain(said) if said else "", own, states.get(key) or state, translate)
        for key, said in marks.items():
            yield _segment(said, "", plain(said), {**about, "segment": key}, states.get(key) or state, translate)
        # Between the marked segments there is white space, or text that nobody marked.
        for whole in (cut, target):
            rest = _between(whole) if whole else ""
            if whole and rest.strip():
                texts = (rest, "") if whole is cut else ("", rest)
                yield _segment(whole, *texts, about, "", False)
    elif source or target:
        line = source or target
        assert line
        yield _segment(line, plain(source) if source else "", plain(target) if target else "", about, state, translate)
    for other in unit.children("alt-trans"):
        for said in other.children("target"):
            found = _segment(said, other.said("source"), plain(said), about, "", translate)
            found.field = "alt-trans"
            yield found


def _segments_2(unit: Node, about: dict[str, Any]) -> Iterator[_Segment]:
    translate = unit.get("translate") != "no"
    for part in unit.children("segment", "ignorable"):
        source, target = part.first("source"), part.first("target")
        first, second = (plain(side) if side else "" for side in (source, target))
        if part.tag == "ignorable" and not first.strip() and not second.strip():
            continue
        own = {**about, "segment": part.get("id")} if part.get("id") else about
        yield _segment(part, first, second, own, part.get("state"), translate and part.tag == "segment")


def _segment(node: Node, source: str, target: str, meta: dict[str, Any], state: str, translate: bool) -> _Segment:
    if state:
        meta = {**meta, "state": state}
    return _Segment(node.line, source, target, meta, state, translate)


def _about(unit: Node) -> dict[str, Any]:
    file = unit.around("file")
    said = {"unit": unit.get("id"), "file": (file.get("original") or file.get("id")) if file else "",
            "context": unit.get("resname") or unit.get("name")}  # fmt: skip
    about: dict[str, Any] = {key: text for key, text in said.items() if text}
    notes = [text for node in unit.inside("note", "mq:comment") if (text := node.text().strip())]
    return {**about, "notes": notes} if notes else about


def plain(node: Node) -> str:
    """The words of a segment: codes give way to the text the file says stands for them, and to nothing where it says none."""
    out = []
    for part in node.content:
        if isinstance(part, str):
            out.append(part)
        elif part.tag == "cp":
            out.append(_character(part.get("hex")))
        elif part.tag in _CODES:
            inner = "".join(plain(sub) for sub in part.inside("sub"))
            spoken = part.get("equiv-text") or part.get("equiv")
            lines = part.get("ctype") == "lb" or part.get("subType") == "xlf:lb"
            out.append(inner or spoken or ("\n" if lines else ""))
        elif part.tag not in ("sm", "em") and ":" not in part.tag:
            out.append(plain(part))
    return "".join(out)


def _between(node: Node) -> str:
    return "".join(
        part if isinstance(part, str) else "" if part.get("mtype") == "seg" else _between(part)
        for part in node.content
        if isinstance(part, str) or part.tag not in _CODES
    )


def _character(code: str) -> str:
    try:
        return chr(int(code, 16))
    except (ValueError, OverflowError):
        return "\ufffd"
