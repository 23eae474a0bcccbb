"""Where questions come from: the general ones, a file of the user's, and held-out rows of the project's own languages."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.config import read_toml
from endonym.errors import DataError, MissingError, Problem
from endonym.grade.marks import Question
from endonym.types import Chat, Message, record_id

if TYPE_CHECKING:
    from endonym.data.dataset import Dataset
    from endonym.project import Project

FIELDS = ("id", "question", "reference", "keywords", "task", "language")


def general() -> list[Question]:
    """The questions that come with Endonym."""
    rows = read_toml(Path(__file__).with_name("questions.toml"))["questions"]
    return [_question(row, "questions.toml", number, "general") for number, row in enumerate(rows, 1)]


def of_file(path: Path) -> list[Question]:
    """The questions of a JSONL, TOML (`[[questions]]`) or CSV file; raises DataError that names the line and the field."""
    found = [_question(row, path.name, number, "own") for number, row in rows_of_file(path)]
    if not found:
        raise DataError(
            Problem(path.name, 0, "", "there is no question in it", "write one a line: id, question, reference")
        )
    twice = [q.id for n, q in enumerate(found) if q.id in {p.id for p in found[:n]}]
    if twice:
        raise DataError(
            Problem(path.name, 0, "id", f"the id '{twice[0]}' stands there twice", "give each question its own")
        )
    return found


def rows_of_file(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a JSONL, TOML or CSV file with their line (number of the table, for TOML)."""
    if not path.is_file():
        raise MissingError(
            f"the file {path} is not there", "Name a JSONL, TOML or CSV file, from the project's folder on."
        )
    if path.suffix.lower() == ".toml":
        tables = [v for v in read_toml(path).values() if isinstance(v, list)]
        yield from enumerate((row for rows in tables for row in rows), 1)
        return
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(Problem(path.name, 0, "", f"it is not UTF-8 ({error.reason})", "save it as UTF-8")) from error
    if path.suffix.lower() in (".csv", ".tsv"):
        reader = csv.DictReader(io.StringIO(text), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        for row in reader:
            yield reader.line_num, {k: v for k, v in row.items() if k and v}
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(
                    Problem(path.name, number, "", f"it is not JSON ({error})", "write an object a line")
                ) from error
            if not isinstance(row, dict):
                raise DataError(Problem(path.name, number, "", "it is no object", 'write {"question": "..."}'))
            yield number, row


def _question(row: Mapping[str, Any], file: str, number: int, kind: str) -> Question:
    text = str(row.get("question") or "").strip()
    strange = [key for key in row if key not in FIELDS]
    if not text:
        raise DataError(Problem(file, number, "question", "it is empty", "write what is to be asked"))
    if strange:
        raise DataError(Problem(file, number, strange[0], "there is no such field", f"known: {', '.join(FIELDS)}"))
    return Question(
        id=str(row.get("id") or record_id(text)),
        question=text,
        messages=(Message("user", text),),
        references=_texts(row.get("reference"), ()),
        keywords=_texts(row.get("keywords"), (";",)),
        task=str(row.get("task") or ""),
        language=str(row.get("language") or ""),
        set=kind,
    )


def _texts(value: Any, separators: Sequence[str]) -> tuple[str, ...]:
    parts = [str(v) for v in value] if isinstance(value, list) else [str(value)] if value else []
    for separator in separators:
        parts = [p for part in parts for p in part.split(separator)]
    return tuple(p.strip() for p in parts if p.strip())


def of_language(chats: Dataset, project: Project, number: int, seed: int) -> list[Question]:
    """At most `number` questions in the project's languages: validation rows, asked as training asked but without any hint.

    Validation rows are never learned and are not of the sealed test, but the best step of a training was chosen on them. They are taken from all tasks and directions in turn.
    """
    from endonym.retrieve.context import Context

    if not number or "valid" not in chats.splits:
        return []
    rows = [c for c in chats.records("valid") if isinstance(c, Chat) and c.prompt and c.answer]
    rows.sort(key=lambda c: hashlib.sha256(f"{seed}:{c.id}".encode()).digest())
    kinds: dict[tuple[str, str], list[Chat]] = {}
    for chat in rows:
        kinds.setdefault((chat.task, str(chat.meta.get("direction", ""))), []).append(chat)
    most = max(map(len, kinds.values()), default=0)
    drawn = [chats[depth] for depth in range(most) for _, chats in sorted(kinds.items()) if depth < len(chats)][:number]
    context = Context.load(chats.folder, project.path)
    context.without_hints = True
    return [_of_chat(chat, context) for chat in drawn]


def _of_chat(chat: Chat, context: Any) -> Question:
    source = str(chat.meta.get("source") or chat.prompt[-1].content)
    prompt = chat.prompt
    if chat.meta.get("hints"):
        prompt = context.chat_for(chat.task, source, str(chat.meta["direction"])).prompt
    accepted = [str(a) for a in chat.meta.get("accepted", ())]
    return Question(
        id=f"{chat.task}-{chat.id}",
        question=source,
        messages=prompt,
        references=tuple(dict.fromkeys([chat.answer, *accepted])),
        task=chat.task,
        language=chat.language,
        set="language",
    )


def named_apart(questions: Sequence[Question]) -> list[Question]:
    """The questions with ids that say which set they are of, so that sets never meet under one id."""
    return [replace(q, id=f"{q.set}/{q.id}") for q in questions]
