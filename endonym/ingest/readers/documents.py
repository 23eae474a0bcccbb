"""Read documents from JSONL or JSON: an object a document or chapter, with its text or list of paragraphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym.data import languages
from endonym.errors import Problem
from endonym.ingest.columns import guess
from endonym.ingest.ids import Ids
from endonym.ingest.nested import at, paths
from endonym.ingest.table import Bad, Row, rows, usable
from endonym.types import Doc, Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".jsonl", ".json")
PROSE = 120
"""Characters a text has that is taken for one without being called so."""
SECTIONS = ("section", "chapter", "article")


class Config(BaseModel):
    """Settings of reading documents from JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language of objects that name none; the project's when empty.")
    languages: list[str] = Field([], description="Languages to take; the project's language and pivot when empty.")
    pivot: str = Field("", description="Pivot language, taken too; the project's when empty.")
    text: str = Field(
        "",
        description="Field with the text or list of paragraphs, or its path (page.body); found by its name when empty.",
    )
    items: str = Field(
        "", description="Path of the list of objects in a JSON file, such as data.items; found when empty."
    )
    section: str = Field("", description="Field that names the section or chapter; found by its name when empty.")
    language_field: str = Field("", description="Field with the language code; found by its name when empty.")
    document: str = Field("", description="Field that names the document; the whole file is one when empty.")
    parallel: bool = Field(True, description="Whether texts of one document in several languages translate each other.")
    encoding: str = Field("", description="Encoding of the file; found when empty.")
    bad_rows: Literal["error", "ledger"] = Field(
        "error", description="What a malformed object does: stop with the list of all, or go to the ledger."
    )


def sniff(sample: Sample) -> float:
    """High where an object has a text or paragraphs and nothing that makes it a pair or a conversation."""
    if sample.layout is not None or not sample.rows or guess(sample.columns, "messages"):
        return 0.0
    field = guess(sample.columns, "text")
    if not field:
        return 0.4 if _prose(sample.rows) else 0.0
    return 0.8 if all(isinstance(row.get(field), str | list) for row in sample.rows[:50]) else 0.0


def resolved(path: Path, cfg: Config) -> Config:
    """The settings with the field of the text filled in where its name does not say what it is."""
    head = [row.values for row in islice(rows(path, cfg.encoding, items=cfg.items), 50) if isinstance(row, Row)]
    if cfg.text or any(guess(values, "text") for values in head):
        return cfg
    return cfg.model_copy(update={"text": _prose(head)})


def _prose(found: Sequence[Mapping[str, Any]]) -> str:
    """The one field that holds running text in every object: the longest, of `PROSE` characters and more in the middle; else `""`."""
    fields = (
        set.intersection(*({k for k, v in values.items() if isinstance(v, str)} for values in found))
        if found
        else set()
    )
    middle = {field: median(len(values[field]) for values in found) for field in fields}
    best = max(middle, key=lambda field: middle[field], default="")
    return best if best and middle[best] >= PROSE else ""


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Doc` for every paragraph; other languages than those wanted go to the ledger."""
    ids, parts = Ids(), Counter[tuple[str, str]]()
    cfg = resolved(path, cfg)
    wanted = [languages.language(code).code for code in cfg.languages or (cfg.language, cfg.pivot) if code]
    for row in usable(_checked(path, cfg), cfg.bad_rows, "documents"):
        if isinstance(row, Drop):
            yield row
            continue
        code, name = row.values["language"], row.values["document"] or path.stem
        for text in row.values["paragraphs"]:
            parts[name, code] += 1
            meta: dict[str, Any] = {"document": name, "part": parts[name, code]}
            if cfg.parallel:
                meta["parallel"] = name
            if row.values["section"]:
                meta["section"] = row.values["section"]
            doc = Doc(ids("doc", code, name, text), text, code, f"{path.name}:{row.line}", meta)
            yield (
                doc
                if not wanted or code in wanted
                else Drop(doc, "documents.other_language", f"{code}, wanted {', '.join(wanted)}")
            )


def fields_read(sample: Sample, cfg: Config) -> set[str]:
    """The fields whose texts are in the records or decide what becomes of them."""
    guessed = {guess(sample.columns, "text"), guess(sample.columns, "language")}
    return {cfg.text, cfg.language_field, cfg.document, *SECTIONS, *guessed}


def _checked(path: Path, cfg: Config) -> Iterator[Row | Bad]:
    for row in rows(path, cfg.encoding, items=cfg.items):
        if isinstance(row, Bad):
            yield row
            continue
        values = row.values
        field = cfg.text or guess(values, "text")
        value = at(values, field)
        if isinstance(value, str):
            value = [part.strip() for part in value.split("\n")]
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            what = (
                f"'{field}' is no text and no list of texts"
                if value is not None
                else f"it has no field '{field or 'text'}'"
            )
            repair = f'name the field in the settings (text = "..."); it has: {", ".join(paths(values))}'
            yield Bad(Problem(path.name, row.line, field, what, repair), str(values))
            continue
        code = str(at(values, cfg.language_field or guess(values, "language")) or cfg.language)
        name = str(at(values, cfg.document) or "") if cfg.document else ""
        keys = [cfg.section] if cfg.section else SECTIONS
        section = next((str(found) for key in keys if (found := at(values, key))), "")
        yield Row(row.line, {"language": languages.language(code).code, "document": name, "section": section,
                             "paragraphs": [part for part in value if part.strip()]})  # fmt: skip
