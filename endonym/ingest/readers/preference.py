"""Read preferences from JSONL, JSON or a table: of two answers to one question, which is better."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym.errors import Problem
from endonym.ingest.ids import Ids
from endonym.ingest.table import Bad, Row, rows, usable
from endonym.ingest.turns import EXTRAS, LISTS, QUESTIONS, asked, listed, turn
from endonym.types import Drop, Message, Preference, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".jsonl", ".json", ".csv", ".tsv")
SIDES = (
    ("chosen", "rejected"), ("preferred", "dispreferred"), ("response1", "response2"), ("response_a", "response_b"),
    ("response_0", "response_1"), ("output_1", "output_2"), ("answer_a", "answer_b"),
)  # fmt: skip
VERDICTS = ("majority", "preference", "winner", "better", "label", "choice")
FIRST = ("1", "a", "first", "response1", "response_a", "output_1", "model_a", "answer_a")
SECOND = ("2", "b", "second", "response2", "response_b", "output_2", "model_b", "answer_b")
SPOKEN = re.compile(r"\n\n(Human|Assistant): ?")


class Config(BaseModel):
    """Settings of reading preferences."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str = Field("", description="Field with the question; found by its name when empty.")
    chosen: str = Field(
        "", description="Field with the better answer, or the first of two; found by its name when empty."
    )
    rejected: str = Field("", description="Field with the other answer; found by its name when empty.")
    verdict: str = Field(
        "",
        description="Field that says which of the two is better (1 or a, 2 or b; all else is a tie); found when empty.",
    )
    encoding: str = Field("", description="Encoding of the file; found when empty.")
    bad_rows: Literal["error", "ledger"] = Field(
        "error", description="What a malformed row does: stop with the list of all, or go to the ledger."
    )


def sniff(sample: Sample) -> float:
    """High where two answers stand beside each other."""
    rows_seen = sample.rows[:50]
    good = sum(1 for row in rows_seen if _sides(row, Config()) is not None)
    return 0.97 * good / len(rows_seen) if rows_seen else 0.0


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Preference` for every row; where neither answer is better it goes to the ledger."""
    ids = Ids()
    for row in usable(_checked(path, cfg), cfg.bad_rows, "preference"):
        if isinstance(row, Drop):
            yield row
            continue
        messages, chosen, rejected, why = (row.values[key] for key in ("messages", "chosen", "rejected", "why"))
        ident = ids("preference", *(f"{m.role}: {m.content}" for m in messages), chosen, rejected)
        record = Preference(ident, messages, chosen, rejected, f"{path.name}:{row.line}")
        yield Drop(record, f"preference.{why}", "neither answer is the better one") if why else record


def fields_read(sample: Sample, cfg: Config) -> set[str]:
    """The fields whose texts are in the records."""
    found = {"system", *LISTS, *EXTRAS, *(key for key in sample.columns if key.lower() in QUESTIONS + VERDICTS)}
    return found.union({cfg.prompt, cfg.verdict}, *((_sides(row, cfg) or ()) for row in sample.rows[:50]))


def _checked(path: Path, cfg: Config) -> Iterator[Row | Bad]:
    for row in rows(path, cfg.encoding):
        if isinstance(row, Bad):
            yield row
            continue
        try:
            yield Row(row.line, _preference(row.values, cfg))
        except ValueError as error:
            what, repair = error.args
            yield Bad(Problem(path.name, row.line, "", what, repair), str(row.values))


def _preference(values: dict[str, Any], cfg: Config) -> dict[str, Any]:
    """Question, better and worse answer, and why it is no preference, if it is none; raises ValueError(what, repair)."""
    fields = _sides(values, cfg)
    if fields is None:
        known = ", ".join(f"'{key}'" for key in values)
        raise ValueError(
            f"no two answers among its fields: {known}", 'name them in the settings: chosen = "...", rejected = "..."'
        )
    (begun, first), (again, second) = (_spoken(values[field], number) for number, field in enumerate(fields, 1))
    if begun != again:
        raise ValueError("the two answers belong to different conversations", "repair the row, or take it out")
    question = cfg.prompt or next((k for k in values if k.lower() in QUESTIONS and isinstance(values[k], str)), "")
    # Where an answer holds the whole conversation, a field with the question only repeats its beginning.
    messages = begun or listed(values) or (asked(values, question) if question in values else ())
    if not messages:
        raise ValueError("it has no question", 'name its field in the settings: prompt = "..."')
    winner = _winner(values, cfg)
    if winner == 2:
        first, second = second, first
    why = "tie" if winner == 0 or first == second else "no_answer" if not first.strip() or not second.strip() else ""
    return {"messages": messages, "chosen": first, "rejected": second, "why": why}


def _sides(values: dict[str, Any], cfg: Config) -> tuple[str, str] | None:
    lower = {key.lower(): key for key, value in values.items() if isinstance(value, str | list)}
    given = (cfg.chosen, cfg.rejected)
    if all(given):
        return given if all(name in values for name in given) else None
    return next(((lower[a], lower[b]) for a, b in SIDES if a in lower and b in lower), None)


def _spoken(answer: Any, number: int) -> tuple[tuple[Message, ...], str]:
    """The turns before an answer and the answer: as a list of messages, as `Human:` and `Assistant:` in one text, or the answer alone."""
    if isinstance(answer, list):
        turns = tuple(turn(one, place) for place, one in enumerate(answer, 1))
    elif SPOKEN.match(str(answer)):
        parts = SPOKEN.split(str(answer))[1:]
        turns = tuple(
            Message("user" if who == "Human" else "assistant", text) for who, text in zip(parts[::2], parts[1::2])
        )
    else:
        return (), str(answer)
    if not turns or turns[-1].role != "assistant":
        raise ValueError(f"answer {number} does not end with the assistant's turn", "repair the row, or take it out")
    return turns[:-1], turns[-1].content


def _winner(values: dict[str, Any], cfg: Config) -> int:
    """1 or 2 for the answer that is better, 0 for neither; the first where nothing says which."""
    fields = _sides(values, cfg)
    assert fields is not None
    field = cfg.verdict or next((key for key in values if key.lower() in VERDICTS), "")
    if not field or (fields[0].lower(), fields[1].lower()) in SIDES[:2]:
        return 1
    said = str(values.get(field)).strip().lower()
    return 1 if said in FIRST else 2 if said in SECOND else 0
