"""What a person decided about doubtful records: kept in the project, and applied whenever the source is read again."""

from __future__ import annotations

import getpass
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.errors import DataError, Problem, UsageError
from endonym.types import Doc, Drop, Record, record_id

if TYPE_CHECKING:
    from endonym.project import Project

FILE = "review.jsonl"
"""In the project's folder: a decision a line, later ones before earlier ones. Plain text, so that it can be shared and kept."""
SUFFIX = ".review"
"""How the reasons of drops end that wait for a person: `ocr.review`, `speech.review`."""
COVERED = 0.5
"""Share of a record's place that a decision must cover to be about it."""
Place = tuple[int, tuple[float, ...]]
"""Page and box, or 0 and (begin, end) of a recording."""


@dataclass(frozen=True)
class Decision:
    """One decision, with who made it, when, and what stood there before."""

    file: str
    hash: str
    """Of the file's bytes, so that it is found again under another name or in another run."""
    page: int
    at: tuple[float, ...]
    """Box on the page in pixels, or begin and end in seconds."""
    verdict: str
    """`accept`, `correct`, `reject`, or `reopen`, which takes an earlier one back."""
    text: str
    was: str
    language: str
    who: str
    when: str

    @property
    def place(self) -> Place:
        return self.page, self.at


def waits(reason: str) -> bool:
    """Whether a dropped record waits for a person."""
    return reason.endswith(SUFFIX)


def place(record: Record) -> Place | None:
    """Where a record of a page or recording stands, None for other records."""
    at = record.meta.get("box") or record.meta.get("time")
    return (int(record.meta.get("page", 0)), tuple(at)) if at and record.meta.get("hash") else None


def decide(project: Path, record: Doc, verdict: str, text: str = "", who: str = "") -> Decision:
    """Write a decision about a record down. A correction that changes nothing is an acceptance."""
    spot = place(record)
    assert spot is not None
    verdict = "accept" if verdict == "correct" and text == record.text else verdict
    decision = Decision(record.origin.rpartition(":")[0], str(record.meta["hash"]), spot[0], spot[1], verdict,
                        text if verdict == "correct" else record.text, record.text, record.language, who or user(),
                        datetime.now(UTC).isoformat(timespec="seconds"))  # fmt: skip
    path = project / FILE
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(decision), ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return decision


def user() -> str:
    """The name decisions are signed with: `$ENDONYM_USER`, else the name one is logged in with."""
    try:
        return os.environ.get("ENDONYM_USER") or getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


class Decisions:
    """The decisions of a project by file hash, the last word about each place."""

    def __init__(self, project: Path):
        self.of: dict[str, dict[Place, Decision]] = defaultdict(dict)
        path = project / FILE
        if path.is_file():
            for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
                if line.strip():
                    decision = _parsed(line, number)
                    self.of[decision.hash][decision.place] = decision
        for places in self.of.values():
            for spot in [spot for spot, one in places.items() if one.verdict == "reopen"]:
                del places[spot]

    def about(self, record: Record) -> Decision | None:
        """The decision that covers a record's place best, None when none covers half of it."""
        spot = place(record)
        if spot is None:
            return None
        near = self.of.get(str(record.meta["hash"]), {}).values()
        best = max(near, key=lambda one: _covered(spot, one.place), default=None)
        return best if best is not None and _covered(spot, best.place) >= COVERED else None

    def apply(self, items: Iterable[Record | Drop]) -> Iterator[Record | Drop]:
        """Put decided texts in the place of what was read there.

        What was read stays in the ledger where another text is taken. Decisions stay in force when a recogniser cuts
        the page differently: the first record there carries the text, others go to the ledger, and a decided text
        where nothing was read now comes at the end.
        """
        if not self.of:
            yield from items
            return
        used: set[tuple[str, Place]] = set()
        passed: set[tuple[str, int]] = set()
        pattern: dict[str, Doc] = {}
        for item in items:
            record = item.record if isinstance(item, Drop) else item
            decision = self.about(record) if isinstance(record, Doc) else None
            if isinstance(record, Doc) and record.meta.get("hash"):
                pattern.setdefault(str(record.meta["hash"]), record)
            if decision is None or (isinstance(item, Drop) and not waits(item.reason)):
                if isinstance(item, Drop) and not waits(item.reason) and (spot := place(record)):
                    # Another text is taken for all of this page or recording: what was decided about it is over.
                    passed.add((str(record.meta["hash"]), spot[0]))
                yield item
                continue
            assert isinstance(record, Doc)
            key = (decision.hash, decision.place)
            yield from _decided(record, decision, key in used)
            used.add(key)
        for digest, record in pattern.items():
            for spot, decision in self.of.get(digest, {}).items():
                told = (digest, spot) in used or (digest, spot[0]) in passed
                if not told and decision.verdict != "reject":
                    yield _elsewhere(record, decision)


def waiting(ledger: Iterable[dict[str, Any]], decisions: Decisions) -> Iterator[tuple[Doc, str]]:
    """(record, why it waits) of a raw dataset's ledger that nobody decided about yet."""
    from endonym.types import from_json

    for line in ledger:
        if waits(str(line["reason"])):
            record = from_json(line["record"])
            if isinstance(record, Doc) and decisions.about(record) is None:
                yield record, str(line["detail"])


def queue(project: Project) -> list[tuple[Doc, str]]:
    """(record, why it waits) that nobody decided about, from the newest raw dataset."""
    from endonym.data.dataset import Dataset

    raw = project.newest("raw")
    if raw is None:
        raise UsageError("nothing has been read yet", "Run: endonym ingest")
    return list(waiting(Dataset(raw, "review").ledger(), Decisions(project.path)))


def as_json(record: Doc, why: str) -> dict[str, Any]:
    """One waiting passage as plain data."""
    place = {key: record.meta[key] for key in ("page", "box", "time", "confidence", "model") if key in record.meta}
    return {
        "id": record.id,
        "text": record.text,
        "language": record.language,
        "origin": record.origin,
        "why": why,
        **place,
    }


def where(record: Doc) -> str:
    """The place of a passage in words."""
    file = record.origin.rpartition(":")[0]
    if "time" in record.meta:
        begin, end = record.meta["time"]
        return f"{file}, {begin:.1f} to {end:.1f} s"
    left, top, right, bottom = record.meta["box"]
    return f"{file}, page {record.meta['page']}, pixels {left},{top} to {right},{bottom}"


def _decided(record: Doc, decision: Decision, again: bool) -> Iterator[Record | Drop]:
    by = f"{decision.who}, {decision.when}"
    if decision.verdict == "reject":
        yield Drop(record, "review.rejected", by)
    elif again:
        yield Drop(record, "review.replaced", f"the text decided on by {by} stands for it")
    elif decision.text == record.text:
        yield replace(record, meta={**record.meta, "review": _provenance(decision)})
    else:
        yield Drop(record, "review.replaced", f"corrected by {by}")
        ident = record_id("review", record.id, decision.text)
        yield replace(record, id=ident, text=decision.text, meta={**_kept(record), "review": _provenance(decision)})


def _elsewhere(pattern: Doc, decision: Decision) -> Doc:
    where = {"page": decision.page, "box": list(decision.at)} if decision.page else {"time": list(decision.at)}
    meta = {k: v for k, v in _kept(pattern).items() if k not in ("page", "box", "time")}
    ident = record_id("review", decision.hash, json.dumps(decision.place), decision.text)
    file = pattern.origin.rpartition(":")[0]
    line = decision.page or round(decision.at[0])
    return Doc(ident, decision.text, decision.language or pattern.language, f"{file}:{line}",
               {**meta, **where, "review": _provenance(decision)})  # fmt: skip


def _kept(record: Doc) -> dict[str, Any]:
    """What is still true of a record whose text is another one."""
    return {k: v for k, v in record.meta.items() if k not in ("lines", "words", "confidence", "model")}


def _provenance(decision: Decision) -> dict[str, str]:
    return {"verdict": decision.verdict, "who": decision.who, "when": decision.when, "was": decision.was}


def _covered(spot: Place, by: Place) -> float:
    """Share of one place that lies inside another."""
    if spot[0] != by[0] or len(spot[1]) != len(by[1]):
        return 0.0
    half = len(spot[1]) // 2
    share = 1.0
    for low, high, other_low, other_high in zip(spot[1][:half], spot[1][half:], by[1][:half], by[1][half:]):
        share *= max(0.0, min(high, other_high) - max(low, other_low)) / max(high - low, 1e-9)
    return share


def _parsed(line: str, number: int) -> Decision:
    try:
        data = json.loads(line)
        return Decision(**{**data, "at": tuple(data["at"])})
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(Problem(FILE, number, "", f"this is no decision of a review: {error}",
                                "repair the line, or take it out")) from error  # fmt: skip
