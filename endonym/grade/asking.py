"""Ask one system its questions, one at a time, and measure around each answer; asked again after a kill, it goes on where it was."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.grade.marks import Answered, Question
from endonym.store.files import whole_lines

if TYPE_CHECKING:
    from endonym.models.generate import Sampling
    from endonym.models.load import Loaded


def questions_hash(questions: Sequence[Question]) -> str:
    """SHA-256 of the questions with everything they are marked by: equal hashes, equal exams."""
    return hashlib.sha256(json.dumps([asdict(q) for q in questions], sort_keys=True).encode()).hexdigest()


def ask_all(
    loaded: Loaded,
    questions: Sequence[Question],
    sampling: Sampling,
    path: Path,
    progress: Callable[[int], None],
    cancelled: Callable[[], bool],
) -> list[Answered]:
    """The answers in order, each a line of `path` as soon as it is there; fewer where `cancelled`."""
    done = {row["id"]: row for row in map(json.loads, whole_lines(path))}
    found: list[Answered] = []
    for number, question in enumerate(questions):
        if cancelled():
            break
        row = done.get(question.id)
        if row is None:
            row = _ask(loaded, question, sampling)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        measured = {k: row[k] for k in ("text", "tokens", "seconds", "first_token_seconds", "ended")}
        found.append(Answered(question, **measured))
        progress(number + 1)
    return found


def _ask(loaded: Loaded, question: Question, sampling: Sampling) -> dict[str, Any]:
    from endonym.models.generate import stream

    prompt = loaded.renderer.prompt_ids(question.messages)
    ids: list[int] = []
    first = None
    started = time.perf_counter()
    for token in stream(loaded, prompt, sampling):
        first = first if ids else time.perf_counter() - started
        ids.append(token)
    seconds = time.perf_counter() - started
    return {
        "id": question.id, "set": question.set, "question": question.question, "prompt_tokens": len(prompt),
        "prompt": loaded.renderer.text(question.messages), "text": loaded.renderer.decode(ids).strip(), "tokens": len(ids),
        "seconds": round(seconds, 4), "first_token_seconds": None if first is None else round(first, 4),
        "ended": len(ids) < sampling.max_new_tokens,
    }  # fmt: skip
