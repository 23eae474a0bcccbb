"""Read questions whose answers stand in a text, as SQuAD writes them: context, question, answers with `answer_start`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.ingest.ids import Ids
from endonym.ingest.nested import words
from endonym.ingest.table import Row, rows, usable
from endonym.types import Doc, Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".json", ".jsonl")


class Config(BaseModel):
    """Settings of reading questions about texts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language of the texts; the project's when empty.")
    encoding: str = Field("", description="Encoding of the file; found when empty.")


def sniff(sample: Sample) -> float:
    """High where objects have paragraphs with questions, or a context, a question and answers."""
    found = sample.rows[:20]
    return (
        0.98
        if found and all(_is_article(row) or {"context", "question", "answers"} <= set(row) for row in found)
        else 0.0
    )


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Doc` with `meta["questions"]` for every text. A question whose answer is not where it is said to be, or that has
    none, goes to the ledger by itself."""
    ids = Ids()
    for row in usable(rows(path, cfg.encoding), "error", "squad"):
        if isinstance(row, Drop):
            yield row
            continue
        for context, title, asked in _texts(row):
            origin = f"{path.name}:{row.line}"
            meta = {"document": title or path.stem}
            good = []
            for question in asked:
                told, why = _question(context, question)
                if why:
                    text = f"{words(question.get('question'))}\n{told}".strip()
                    left = Doc(ids("squad", "left", context, text), text, cfg.language, origin, meta)
                    yield Drop(left, f"squad.{why}", f"id {question.get('id', '')}".strip())
                else:
                    good.append(told)
            doc = Doc(ids("squad", context), context, cfg.language, origin, {**meta, "questions": good})
            yield doc if good else Drop(doc, "squad.no_question", "no question about it is left")


def _is_article(values: Mapping[str, Any]) -> bool:
    return isinstance(values.get("paragraphs"), list) and all(
        isinstance(one, dict) and "qas" in one for one in values["paragraphs"]
    )


def _texts(row: Row) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Each text of an article or of a single question, the title above it, and what is asked about it."""
    title = words(row.values.get("title"))
    if _is_article(row.values):
        for paragraph in row.values["paragraphs"]:
            yield str(paragraph.get("context", "")), title, list(paragraph["qas"])
    else:
        yield str(row.values.get("context", "")), title, [row.values]


def _question(context: str, asked: Mapping[str, Any]) -> tuple[Any, str]:
    """A question with its answers as they stand in the text; else what is left of it, and why it is left out."""
    answers = asked.get("answers") or []
    if isinstance(answers, dict):
        # As data sets in tables have them: a list of texts beside one of places.
        answers = [dict(zip(("text", "answer_start"), pair)) for pair in zip(answers["text"], answers["answer_start"], strict=True)]  # fmt: skip
    if not answers or asked.get("is_impossible"):
        return "", "no_answer"
    found = [{"text": str(a.get("text", "")), "start": a.get("answer_start")} for a in answers]
    if not words(asked.get("question")):
        return "\n".join(a["text"] for a in found), "no_question"
    right = [a for a in found if a["text"].strip() and isinstance(a["start"], int) and a["start"] >= 0
             and context.startswith(a["text"], a["start"])]  # fmt: skip
    if len(right) < len(found):
        wrong = [a["text"] for a in found if a not in right]
        return "\n".join(wrong), "answer_not_there"
    return {"question": str(asked["question"]), "answers": right}, ""
