"""Settings of a dictionary: which table holds what, and the guesses that fill empty column names in."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym.errors import DataError, Problem
from endonym.ingest.columns import guess, language_of, need
from endonym.ingest.table import Layout, Row, find_layout, is_json, rows


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Entries(_Table):
    """Columns of the table of entries, or of the only table."""

    id: str = Field("", description="Column with the key that other tables refer to.")
    headword: str = Field("", description="Column with the headword; guessed from the names when empty.")
    part_of_speech: str = Field("", description="Column with the part of speech; none when empty.")
    definition: str = Field("", description="Column with the definition or translation.")
    example: str = Field("", description="Column with an example sentence in the language.")
    example_translation: str = Field("", description="Column with the translation of the example.")


class Senses(_Table):
    """The linked table of senses."""

    file: str = Field("", description="Its file name, beside the table of entries; none when empty.")
    id: str = Field("", description="Column with the key of the sense.")
    entry: str = Field("", description="Column with the key of the entry, or keys.")
    definition: str = Field("", description="Column with the definition.")


class Examples(_Table):
    """The linked table of example sentences."""

    file: str = Field("", description="Its file name, beside the table of entries; none when empty.")
    sense: str = Field("", description="Column with the key of the sense, or keys.")
    entry: str = Field(
        "", description="Column with the key of the entry, or keys; used where there is no sense column."
    )
    text: str = Field("", description="Column with the sentence in the language.")
    translation: str = Field("", description="Column with its translation.")
    dialect: str = Field("", description="Column with the dialect, kept with the sentence; none when empty.")


class Config(BaseModel):
    """Settings of reading a dictionary."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language of headwords and examples; the project's when empty.")
    pivot: str = Field("", description="Language of definitions and translations; the project's pivot when empty.")
    encoding: str = Field("", description="Encoding of the files; found when empty.")
    delimiter: str = Field("", description="Character between fields; found when empty.")
    entries: Entries = Field(Entries(), description="Columns of the table of entries, or of the only table.")
    senses: Senses = Field(Senses(), description="The linked table of senses, with its columns.")
    examples: Examples = Field(Examples(), description="The linked table of examples, with its columns.")
    where: dict[str, str] = Field({}, description="Use only rows that have these values in these columns.")
    separator: str = Field(";", description="Character between several keys in one cell.")
    definition_separator: str = Field(
        "", description="Text between several senses in one definition cell; one sense when empty."
    )
    keep_rest: bool = Field(False, description="Keep what stands in other columns beside the entry or example.")
    bad_rows: Literal["error", "ledger"] = Field(
        "error", description="What a malformed row does: stop with the list of all, or go to the ledger."
    )


def resolved(path: Path, cfg: Config) -> Config:
    """Fill every empty column name in by guessing. Raises DataError for a column that must be there and is not."""
    columns = names(path, cfg)
    cut = cfg.entries
    headword = cut.headword or guess(columns, "headword") or _column_of(columns, cfg.language)
    headword = need(path, columns, headword, "the headword", "entries.headword")
    linked = bool(cfg.senses.file)
    definition = cut.definition or (
        "" if linked else guess(columns, "definition", [headword]) or _column_of(columns, cfg.pivot, headword)
    )
    if not linked:
        definition = need(path, columns, definition, "the definition", "entries.definition")
    example = cut.example or ("" if cfg.examples.file else guess(columns, "example", [headword, definition]))
    translation = cut.example_translation
    if example and not translation:
        translation = guess(columns, "example_translation", [headword, definition, example])
    entries = Entries(
        id=_given(path, columns, cut.id, "entries.id") or guess(columns, "id", [headword]),
        headword=headword,
        part_of_speech=_given(path, columns, cut.part_of_speech, "entries.part_of_speech")
        or guess(columns, "part_of_speech", [headword, definition]),
        definition=definition,
        example=_given(path, columns, example, "entries.example"),
        example_translation=_given(path, columns, translation, "entries.example_translation"),
    )
    for column in cfg.where:
        need(path, columns, column, "this", "where")
    made = {"entries": entries, "senses": _resolve_senses(path, cfg), "examples": _resolve_examples(path, cfg)}
    return cfg.model_copy(update=made)


def layout_of(path: Path, cfg: Config) -> Layout:
    """Delimiter, quoting and header of a delimited table; a line with a column the settings name is a header."""
    tables = (cfg.entries, cfg.senses, cfg.examples)
    wanted = {value for table in tables for value in table.model_dump().values() if value} | set(cfg.where)
    return find_layout(path, cfg.encoding, cfg.delimiter, None, wanted)


def names(path: Path, cfg: Config) -> list[str]:
    """Column names of a table; for JSON the keys of its first hundred objects."""
    if not is_json(path):
        return list(layout_of(path, cfg).header)
    found: dict[str, None] = {}
    for number, row in enumerate(rows(path, cfg.encoding)):
        if isinstance(row, Row):
            found.update(dict.fromkeys(row.values))
        if number >= 100:
            break
    return list(found)


def _resolve_senses(path: Path, cfg: Config) -> Senses:
    given = cfg.senses
    if not given.file:
        return given
    other = _beside(path, given.file, "senses.file")
    columns = names(other, cfg)
    entry = need(other, columns, given.entry or guess(columns, "entry_link"), "the entry's key", "senses.entry")
    definition = given.definition or guess(columns, "definition", [entry])
    return Senses(
        file=given.file,
        id=_given(other, columns, given.id, "senses.id") or guess(columns, "id", [entry]),
        entry=entry,
        definition=need(other, columns, definition, "the definition", "senses.definition"),
    )


def _resolve_examples(path: Path, cfg: Config) -> Examples:
    given = cfg.examples
    if not given.file:
        return given
    other = _beside(path, given.file, "examples.file")
    columns = names(other, cfg)
    sense = _given(other, columns, given.sense, "examples.sense") or guess(columns, "sense_link")
    entry = _given(other, columns, given.entry, "examples.entry") or guess(columns, "entry_link", [sense])
    if not sense and not entry:
        need(other, columns, "", "the key of its sense or entry", "examples.sense")
    text = given.text or guess(columns, "example", [sense, entry])
    translation = given.translation or guess(columns, "example_translation", [text])
    return Examples(
        file=given.file, sense=sense, entry=entry,
        text=need(other, columns, text, "the example sentence", "examples.text"),
        translation=need(other, columns, translation, "its translation", "examples.translation"),
        dialect=_given(other, columns, given.dialect, "examples.dialect") or guess(columns, "dialect"),
    )  # fmt: skip


def _beside(path: Path, name: str, setting: str) -> Path:
    other = path.with_name(name)
    if not other.is_file():
        raise DataError(
            Problem(path.name, 0, setting, f"the table {name} is not beside it", "put it there, or correct the name")
        )
    return other


def _given(path: Path, columns: list[str], wanted: str, setting: str) -> str:
    return need(path, columns, wanted, "", setting) if wanted else ""


def _column_of(columns: list[str], language: str, taken: str = "") -> str:
    return next((c for c in columns if c != taken and language and language_of(c) == language), "")
