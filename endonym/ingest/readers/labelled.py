"""Read texts that have a label, such as a topic or a feeling, from a CSV, TSV, JSON or JSONL table with a column for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym.data import languages
from endonym.errors import DataError, Problem
from endonym.ingest.columns import guess
from endonym.ingest.ids import Ids
from endonym.ingest.nested import at, paths, words
from endonym.ingest.table import Bad, Row, find_layout, is_json, rows, usable
from endonym.types import Doc, Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".tsv", ".csv", ".jsonl", ".json")


class Config(BaseModel):
    """Settings of reading texts with a label."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language of texts that name none; the project's when empty.")
    text: str = Field("", description="Column with the text, in JSON a path such as page.body; guessed when empty.")
    label: str = Field("", description="Column with the label; guessed when empty.")
    language_field: str = Field("", description="Column with the language code; all are in one language when empty.")
    document: str = Field("", description="Column that names the document a text is from; kept with the text.")
    header: Literal["auto", "yes", "no"] = Field("auto", description="Whether the first line names the columns.")
    items: str = Field(
        "", description="Path of the list of objects in a JSON file, such as data.items; found when empty."
    )
    encoding: str = Field("", description="Encoding of the file; found when empty.")
    delimiter: str = Field("", description="Character between fields; found when empty.")
    bad_rows: Literal["error", "ledger"] = Field(
        "error", description="What a malformed row does: stop with the list of all, or go to the ledger."
    )


def sniff(sample: Sample) -> float:
    """High where one column is called a text and another one a label, whose values come again."""
    text, label = guess(sample.columns, "text"), guess(sample.columns, "label")
    if not text or not label or guess(sample.columns, "messages"):
        return 0.0
    found = sample.column(label)
    again = 2 * len(set(found)) <= len(found)
    return 0.85 if again and all(len(value) <= 60 for value in found) else 0.0


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Doc` with `meta["label"]` for every row; one without text or label goes to the ledger."""
    ids = Ids()
    for row in usable(_checked(path, cfg), cfg.bad_rows, "labelled"):
        if isinstance(row, Drop):
            yield row
            continue
        text, label, code = (row.values[key] for key in ("text", "label", "language"))
        meta = {"label": label, **({"document": row.values["document"]} if row.values["document"] else {})}
        doc = Doc(ids("labelled", code, label, text), text, code, f"{path.name}:{row.line}", meta)
        if text and label:
            yield doc
        else:
            yield Drop(doc, f"labelled.no_{'label' if text else 'text'}", "the column is empty")


def fields_read(sample: Sample, cfg: Config) -> set[str]:
    """The fields whose texts are in the records or decide what becomes of them."""
    guessed = {guess(sample.columns, "text"), guess(sample.columns, "label")}
    return {cfg.text, cfg.label, cfg.language_field, cfg.document, *guessed}


def _checked(path: Path, cfg: Config) -> Iterator[Row | Bad]:
    header = None if cfg.header == "auto" else cfg.header == "yes"
    named = (cfg.text, cfg.label)
    layout = None if is_json(path) else find_layout(path, cfg.encoding, cfg.delimiter, header, filter(None, named))
    for row in rows(path, cfg.encoding, layout, cfg.items):
        if isinstance(row, Bad):
            yield row
            continue
        known = paths(row.values)
        text, label = cfg.text or guess(known, "text"), cfg.label or guess(known, "label")
        for setting, field in (("text", text), ("label", label)):
            if not field or (field not in known and at(row.values, field) is None):
                what = f"there is no column '{field}'" if field else f"no column was recognised as the {setting}"
                repair = f'name it in the source\'s settings ({setting} = "..."); it has: {", ".join(known)}'
                problem = Problem(path.name, row.line, field, what, repair)
                if layout is not None:
                    raise DataError(problem)
                yield Bad(problem, str(row.values))
                break
        else:
            code = words(at(row.values, cfg.language_field)) if cfg.language_field else ""
            code = languages.language(code or cfg.language).code if code or cfg.language else ""
            document = words(at(row.values, cfg.document)) if cfg.document else ""
            found = {"text": words(at(row.values, text)), "label": words(at(row.values, label))}
            yield Row(row.line, {**found, "language": code, "document": document})
