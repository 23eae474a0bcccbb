"""Read sentence pairs from a CSV, TSV, JSON or JSONL table with a column for each language."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym.errors import DataError, Problem
from endonym.ingest.columns import guess, language_of, need, sides
from endonym.ingest.ids import Ids
from endonym.ingest.nested import at, list_of, paths
from endonym.ingest.table import Bad, Layout, Row, find_layout, is_json, rows, usable
from endonym.types import Drop, Pair, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

DOCUMENT = "\0document"
"""Where a row keeps the name of the document it was found in; no column is called so."""
EXTENSIONS = (".tsv", ".csv", ".jsonl", ".json")


class Config(BaseModel):
    """Settings of reading sentence pairs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language of the column `text`; the project's when empty.")
    pivot: str = Field("", description="Language of the column `translation`; the project's pivot when empty.")
    text: str = Field(
        "", description="Column with the sentence in the language; in JSON a path such as text.tzh; guessed when empty."
    )
    translation: str = Field("", description="Column with the sentence in the pivot language; guessed when empty.")
    header: Literal["auto", "yes", "no"] = Field("auto", description="Whether the first line names the columns.")
    document: str = Field("", description="Column that names the document a pair is from; kept with the pair.")
    dialect: str = Field("", description="Column that names the dialect; kept with the pair.")
    confidence: str = Field("", description="Column with the confidence (0 to 1) that the two sides match.")
    items: str = Field(
        "", description="Path of the list of objects in a JSON file, such as data.items; found when empty."
    )
    where: dict[str, str] = Field({}, description="Use only rows that have these values in these columns.")
    encoding: str = Field("", description="Encoding of the file; found when empty.")
    delimiter: str = Field("", description="Character between fields; found when empty.")
    bad_rows: Literal["error", "ledger"] = Field(
        "error", description="What a malformed row does: stop with the list of all, or go to the ledger."
    )


def sniff(sample: Sample) -> float:
    """High where two columns are named after languages, or one source and one target."""
    columns = sample.columns
    if len(columns) < 2:
        return 0.0
    found = sides(columns)
    if len(found) >= 2:
        # Turns or lines with a text in each language are translations, whatever the list of them is called.
        return 0.96 if sample.rows and list_of(sample.rows[0], *found[:2]) else 0.85
    numbers = any(all(cell.isdigit() for cell in sample.column(name)) for name in columns)
    return 0.5 if sample.layout is not None and len(columns) == 2 and not numbers else 0.0


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Pair` for every row; a row with an empty side goes to the ledger."""
    cfg = resolved(path, cfg)
    layout = None if is_json(path) else layout_of(path, cfg)
    ids = Ids()
    problems: list[Problem] = []
    for row in usable(_each(rows(path, cfg.encoding, layout, cfg.items), path, cfg), cfg.bad_rows, "pairs"):
        if isinstance(row, Drop):
            yield row
            continue
        source, target = _cell(row, cfg.text), _cell(row, cfg.translation)
        meta = {key: _cell(row, column) for key, column in (("document", cfg.document or DOCUMENT), ("dialect", cfg.dialect))
                if column and _cell(row, column)}  # fmt: skip
        pair = Pair(ids("pair", cfg.language, source, cfg.pivot, target), source, target, cfg.language, cfg.pivot,
                    f"{path.name}:{row.line}", {**meta, **_confidence(path, row, cfg, problems)})  # fmt: skip
        other = next((c for c, value in cfg.where.items() if str(at(row.values, c) or "") != value), "")
        if other:
            yield Drop(
                pair, "pairs.other_value", f"{other} is '{at(row.values, other) or ''}', not '{cfg.where[other]}'"
            )
        elif source and target:
            yield pair
        else:
            yield Drop(pair, "pairs.one_side", f"{cfg.translation if source else cfg.text} is empty")
    if problems:
        raise DataError(problems)


def _each(found: Iterator[Row | Bad], path: Path, cfg: Config) -> Iterator[Row | Bad]:
    """The rows, and for one that holds a list of pairs a row for each of them: together they are one document."""
    for row in found:
        inside = list_of(row.values, cfg.text, cfg.translation) if isinstance(row, Row) else ""
        if isinstance(row, Bad) or not inside:
            yield row
            continue
        around = {key: value for key, value in row.values.items() if not isinstance(value, list | dict)}
        name = cfg.document or guess(around, "document")
        document = str(around.get(name) or f"{path.stem} {row.line}")
        for item in at(row.values, inside):
            yield Row(
                row.line, {**around, DOCUMENT: document, **{f"{inside}.{key}": value for key, value in item.items()}}
            )


def layout_of(path: Path, cfg: Config) -> Layout:
    """Delimiter, quoting and header of a delimited file under these settings."""
    header = {"yes": True, "no": False}.get(cfg.header)
    wanted = {cfg.text, cfg.translation, cfg.document, cfg.dialect, cfg.confidence, *cfg.where} - {""}
    return find_layout(path, cfg.encoding, cfg.delimiter, header, wanted)


def resolved(path: Path, cfg: Config) -> Config:
    """Fill empty column names in by guessing. Raises DataError for a column that must be there and is not."""
    columns = _keys(path, cfg) if is_json(path) else list(layout_of(path, cfg).header)
    text, translation = cfg.text, cfg.translation
    if not text:
        text = next((c for c in columns if cfg.language and language_of(c) == cfg.language and c != translation), "")
    if not translation:
        translation = next((c for c in columns if cfg.pivot and language_of(c) == cfg.pivot and c != text), "")
    free = [column for column in columns if column not in (text, translation)]
    text = text or guess(free, "target" if not translation or guess([translation], "source") else "source")
    free = [column for column in columns if column not in (text, translation)]
    translation = translation or guess(free, "source") or guess(free, "target")
    if len(columns) == 2 and bool(text) != bool(translation):
        text, translation = text or free[0], translation or free[0]
    need(path, columns, text, f"the sentence in {cfg.language or 'the language'}", "text")
    need(path, columns, translation, f"the sentence in {cfg.pivot or 'the pivot language'}", "translation")
    for column in (cfg.document, cfg.dialect, cfg.confidence, *cfg.where):
        if column:
            need(path, columns, column, "", "column")
    return cfg.model_copy(update={"text": text, "translation": translation})


def _keys(path: Path, cfg: Config) -> list[str]:
    found: dict[str, None] = {}
    for number, row in enumerate(rows(path, cfg.encoding, items=cfg.items)):
        if isinstance(row, Row):
            found.update(dict.fromkeys(paths(row.values)))
            # A path may also lead into a list, where there is no end of names.
            given = (cfg.text, cfg.translation, cfg.document, cfg.dialect, cfg.confidence, *cfg.where)
            found.update(dict.fromkeys(path for path in given if path and at(row.values, path) is not None))
        if number >= 100:
            break
    return list(found)


def _confidence(path: Path, row: Row, cfg: Config, problems: list[Problem]) -> dict[str, float]:
    if not cfg.confidence or not _cell(row, cfg.confidence):
        return {}
    try:
        return {"confidence": float(_cell(row, cfg.confidence))}
    except ValueError:
        what = f"'{_cell(row, cfg.confidence)}' is not a number"
        problems.append(
            Problem(path.name, row.line, cfg.confidence, what, "write a number from 0 to 1, or take the setting out")
        )
        return {}


def _cell(row: Row, column: str) -> str:
    value = at(row.values, column)
    return "" if value is None else str(value).strip()
