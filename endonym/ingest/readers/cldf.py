"""Read a dictionary or a corpus published as CLDF: the metadata file and the tables of entries, senses and examples it names.

Examples that hang on no entry are the lines of a corpus, each a pair of its own. Which column is what, which keys link the tables and which languages there are is read from the metadata. Columns without a part in it
stand in the `meta` of their entry or example. Rows whose links lead nowhere go to the ledger: a published data set is not the reader's to
repair.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.languages import language, meant
from endonym.errors import DataError, Problem
from endonym.ingest import dictionary
from endonym.ingest.finding import Said
from endonym.ingest.ids import Ids
from endonym.ingest.sides import by_content
from endonym.ingest.table import Row, find_layout, rows, usable
from endonym.ingest.together import metadata
from endonym.types import Doc, Drop, Pair, Record

if TYPE_CHECKING:
    from endonym.ingest.language import Known
    from endonym.ingest.sample import Sample

EXTENSIONS = (".json",)
TERMS = "http://cldf.clld.org/v1.0/terms.rdf#"
LOOK = 400
"""Texts looked at to tell a language."""


class Config(BaseModel):
    """Settings of reading a CLDF dictionary or corpus."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language of headwords and examples; the project's when empty.")
    pivot: str = Field("", description="Language of definitions and translations; the project's pivot when empty.")
    where: dict[str, str] = Field({}, description="Use only entries and lines that have these values in these columns.")
    bad_rows: Literal["error", "ledger"] = Field(
        "ledger", description="What a malformed row does: stop with the list of all, or go to the ledger."
    )


def sniff(sample: Sample) -> float:
    """High for the metadata file of a CLDF dictionary or corpus."""
    return 0.97 if sample.path.suffix.lower() == ".json" and metadata(sample.path) else 0.0


def languages(sample: Sample, values: dict[str, Any], known: Known) -> list[Said]:
    """The languages the tables name; several languages of entries are cut down to the project's."""
    tables = _Tables(sample.path)
    names = tables.languages()
    main = "EntryTable" if "EntryTable" in tables.tables else "ExampleTable"
    column = tables.column(main, "languageReference")
    listed = {key: names.get(key, key) for key in dict.fromkeys(tables.texts(main, column))} if column else {}
    own = next((key for key, code in listed.items() if language(code).code == known.language), "")
    only = language(next(iter(listed.values()))) if len(listed) == 1 else None
    if values.get("language"):
        words = Said("headwords", str(values["language"]), "as set")
    elif own or (only and len(only.code) == 3):
        code = known.language if own or not only else only.code
        words = Said("headwords", code, f"the column {column} says so")
    else:
        words = Said("headwords", known.language, "taken from the project")
    if own and len(listed) > 1 and not values.get("where"):
        values["where"] = {column: own}
    meanings = tables.texts("SenseTable", tables.column("SenseTable", "description"))
    meanings += tables.texts("ExampleTable", tables.column("ExampleTable", "translatedText"))
    said = by_content("definitions", meanings[:LOOK], known.pivot, known)
    marks = [
        names.get(key, key)
        for key in tables.texts("ExampleTable", tables.column("ExampleTable", "metaLanguageReference"))
    ]
    if values.get("pivot"):
        said = Said("definitions", str(values["pivot"]), "as set")
    elif marks:
        counts = Counter(language(mark).code for mark in marks)
        code = known.pivot if known.pivot in counts else counts.most_common(1)[0][0]
        said = Said("definitions", code, "the table of examples says so")
    values["language"], values["pivot"] = words.language, said.language
    return [words, said]


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield an `Entry` for every entry and a `Pair` for every example; of the tables themselves nothing. Raises DataError."""
    from endonym.ingest.readers import lexicon

    if path.suffix.lower() != ".json":
        return
    tables = _Tables(path)
    settings = tables.settings(cfg)
    if "EntryTable" in tables.tables:
        yield from lexicon.read(tables.path("EntryTable"), settings)
    if "ExampleTable" in tables.tables and not settings.examples.file:
        yield from _lines(tables, settings)


def _lines(tables: _Tables, cfg: dictionary.Config) -> Iterator[Record | Drop]:
    """The lines of a corpus: a `Pair`, a `Doc` where there is no translation; what is in other languages goes to the ledger."""
    path, names, ids = tables.path("ExampleTable"), tables.languages(), Ids()
    spoken, told, text, translation, whole = (
        tables.column("ExampleTable", role)
        for role in (
            "languageReference",
            "metaLanguageReference",
            "primaryText",
            "translatedText",
            "contributionReference",
        )
    )
    # What the only language is called decides nothing: it may be a key of the data set's own, and the settings name it.
    several = len(set(tables.texts("ExampleTable", spoken))) > 1
    for row in usable(rows(path, cfg.encoding, find_layout(path, cfg.encoding)), cfg.bad_rows, "cldf"):
        if isinstance(row, Drop):
            yield row
            continue
        cells = {name: str(value).strip() for name, value in row.values.items() if str(value or "").strip()}
        mine, other = cells.get(text, ""), cells.get(translation, "")
        first = (_code(cells.get(spoken, ""), names) if several else "") or cfg.language
        second = _code(cells.get(told, ""), names) or cfg.pivot
        origin = f"{path.name}:{row.line}"
        rest: dict[str, Any] = {
            "fields": {name: [cell] for name, cell in cells.items() if name not in (text, translation, spoken, told)}
        }
        if whole in cells:
            rest["document"] = cells[whole]
        record: Record
        if mine and other:
            record = Pair(ids("pair", first, mine, second, other), mine, other, first, second, origin, rest)
        else:
            said = mine or other or " | ".join(cells.values())
            record = Doc(ids("doc", first, said), said, second if other else first, origin, rest)
        if not mine and not other:
            if cells:
                yield Drop(record, "cldf.no_text", "the row has neither a sentence nor a translation")
            continue
        elsewhere = next(
            (name for name, wanted in cfg.where.items() if name in row.values and cells.get(name, "") != wanted), ""
        )
        if elsewhere or first != cfg.language or (other and second != cfg.pivot):
            yield Drop(record, "cldf.other_language", f"{first} with {second}, wanted {cfg.language} and {cfg.pivot}")
        else:
            yield record


def _code(key: str, names: Mapping[str, str]) -> str:
    return language(names.get(key, key)).code if key else ""


class _Tables:
    """The tables of a data set by the component they are."""

    def __init__(self, path: Path):
        self.main = path
        about = metadata(path)
        if about is None:
            raise DataError(Problem(path.name, 0, "dc:conformsTo", "this is not the metadata of a CLDF dictionary or corpus",
                                    "add the file whose tables have an EntryTable or ExampleTable, such as cldf-metadata.json"))  # fmt: skip
        self.tables = {str(table.get("dc:conformsTo", "")).removeprefix(TERMS): table for table in about["tables"]}
        self.delimiter = str((about.get("dialect") or {}).get("delimiter", ""))

    def path(self, component: str) -> Path:
        """The file of a table. Raises DataError when it is not beside the metadata."""
        name = str(self.tables[component].get("url", ""))
        found = self.main.with_name(Path(name).name)
        if not found.is_file():
            packed = self.main.with_name(f"{Path(name).name}.zip")
            repair = f"unpack {packed.name} there" if packed.is_file() else "put the whole data set into one folder"
            raise DataError(Problem(self.main.name, 0, component, f"{name} is not beside it", repair))
        return found

    def columns(self, component: str) -> list[dict[str, Any]]:
        """The columns as the metadata describe them."""
        schema = self.tables.get(component, {}).get("tableSchema") or {}
        return [column for column in schema.get("columns") or () if isinstance(column, dict)]

    def column(self, component: str, *properties: str) -> str:
        """Name of the column with one of these properties, `""` when there is none."""
        for wanted in properties:
            for column in self.columns(component):
                if column.get("propertyUrl") == TERMS + wanted:
                    return str(column.get("name", ""))
        return ""

    def link(self, component: str, other: str) -> str:
        """Name of the column with keys of another table, by its foreign keys."""
        schema = self.tables.get(component, {}).get("tableSchema") or {}
        target = self.tables.get(other, {}).get("url")
        for key in schema.get("foreignKeys") or ():
            found = key.get("columnReference") or [""]
            if (key.get("reference") or {}).get("resource") == target and target:
                return str(found if isinstance(found, str) else found[0])
        return ""

    def separator(self, component: str, column: str) -> str:
        """What stands between several values in a column."""
        found = next((one.get("separator") for one in self.columns(component) if one.get("name") == column), None)
        return str(found or "").strip()

    def settings(self, cfg: Config) -> dictionary.Config:
        """The settings of the reader of linked tables that the metadata amount to."""
        senses, examples = dictionary.Senses(), dictionary.Examples()
        marks = []
        if "SenseTable" in self.tables:
            entry = self.column("SenseTable", "entryReference") or self.link("SenseTable", "EntryTable")
            marks.append(self.separator("SenseTable", entry))
            senses = dictionary.Senses(file=self.path("SenseTable").name, id=self.column("SenseTable", "id"), entry=entry,
                                       definition=self.column("SenseTable", "description"))  # fmt: skip
        sense = self.column("ExampleTable", "senseReference") or self.link("ExampleTable", "SenseTable")
        entry = self.column("ExampleTable", "entryReference") or self.link("ExampleTable", "EntryTable")
        if "ExampleTable" in self.tables and (sense or entry):
            marks.append(self.separator("ExampleTable", sense or entry))
            dialect = next((str(c["name"]) for c in self.columns("ExampleTable") if c.get("name") == "Dialect"), "")
            examples = dictionary.Examples(file=self.path("ExampleTable").name, sense=sense, entry=entry, dialect=dialect,
                                           text=self.column("ExampleTable", "primaryText"),
                                           translation=self.column("ExampleTable", "translatedText"))  # fmt: skip
        entries = dictionary.Entries(id=self.column("EntryTable", "id"), headword=self.column("EntryTable", "headword"),
                                     part_of_speech=self.column("EntryTable", "partOfSpeech"),
                                     definition="" if senses.file else self.column("EntryTable", "description"))  # fmt: skip
        return dictionary.Config(
            language=cfg.language, pivot=cfg.pivot, delimiter=self.delimiter, entries=entries, senses=senses, examples=examples,
            where=cfg.where, separator=next(filter(None, marks), ";"), keep_rest=True, bad_rows=cfg.bad_rows,
        )  # fmt: skip

    def languages(self) -> dict[str, str]:
        """Key of a language in the tables -> its ISO 639-3 code, which its name tells where no column does."""
        if "LanguageTable" not in self.tables:
            return {}
        key, code, name = (self.column("LanguageTable", role) for role in ("id", "iso639P3code", "name"))
        with self.path("LanguageTable").open(encoding="utf-8-sig", newline="") as file:
            found = csv.DictReader(file, delimiter=self.delimiter or ",")
            return {
                str(row.get(key, "")): str(row.get(code) or _named(str(row.get(name) or "")) or row.get(key, ""))
                for row in found
            }

    def texts(self, component: str, column: str) -> list[str]:
        """The texts of a column that are not empty."""
        if component not in self.tables or not column:
            return []
        return [
            str(row.values[column])
            for row in rows(self.path(component))
            if isinstance(row, Row) and row.values.get(column)
        ]


def _named(name: str) -> str:
    found = meant(name) if name else []
    return found[0].code if len(found) == 1 else ""
