"""How hard each training row is: the five stages of a curriculum, and the file in which they are handed on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

STAGES = ("beginner", "elementary", "intermediate", "advanced", "expert")


@dataclass(frozen=True)
class Graded:
    """One training row with its difficulty, and what that was made of."""

    id: str
    """Id of the chat."""
    difficulty: float
    """0 (easiest) to 100 (hardest): the share of rows that are easier."""
    stage: str
    """One of `STAGES`."""
    parts: dict[str, float]
    """Per scorer the row's rank, 0 to 100."""
    measured: dict[str, float | None]
    """Per scorer what was measured, in its own unit; None where it cannot tell."""
    task: str
    text: str
    """What the row asks and answers, without the words of the prompt."""


def stage_of(difficulty: float, bounds: Sequence[float]) -> str:
    """The stage of a difficulty; `bounds` are the four lower bounds of all stages but the first."""
    return STAGES[sum(difficulty >= bound for bound in bounds)]


def write(folder: Path, rows: Iterable[Graded], about: dict[str, Any]) -> None:
    """Write `difficulty.jsonl`, a row a line, and `difficulty.json` with what is known of all of them."""
    with (folder / "difficulty.jsonl").open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
    (folder / "difficulty.json").write_text(json.dumps(about, ensure_ascii=False, indent=1), encoding="utf-8")


def read(folder: Path) -> Iterator[Graded]:
    """Stream the graded rows of a `difficulty` artifact."""
    with (folder / "difficulty.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            yield Graded(**json.loads(line))


def about(folder: Path) -> dict[str, Any]:
    """What is known of all rows: the hash of the chats they come from, stages, scorers."""
    found: dict[str, Any] = json.loads((folder / "difficulty.json").read_text(encoding="utf-8"))
    return found
