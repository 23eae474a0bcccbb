"""Read translations of software in gettext PO: a pair for every message that is translated and not fuzzy."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.languages import known, language
from endonym.errors import Problem
from endonym.ingest.encoding import lines
from endonym.ingest.ids import Ids
from endonym.ingest.table import Bad, Row, usable
from endonym.types import Drop, Pair, Record

if TYPE_CHECKING:
    from endonym.ingest.sample import Sample

EXTENSIONS = (".po",)


class Config(BaseModel):
    """Settings of reading PO files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language of the translations; the project's when empty.")
    pivot: str = Field("", description="Language of the messages; the project's pivot when empty.")
    fuzzy: bool = Field(False, description="Take translations marked fuzzy (not checked by a person) too.")
    encoding: str = Field("", description="Encoding of the file; found when empty.")
    bad_rows: Literal["error", "ledger"] = Field(
        "error", description="What a malformed entry does: stop with the list of all, or go to the ledger."
    )


def sniff(sample: Sample) -> float:
    """High where messages and translations alternate."""
    return 0.95 if re.search(r"^msgid ", sample.head, re.M) and re.search(r"^msgstr", sample.head, re.M) else 0.0


def declared(sample: Sample) -> str:
    """Code of the language the header names, `""` when it names none."""
    found = re.search(r'"Language:\s*([A-Za-z_@-]+)', sample.head)
    return language(found[1]).code if found and known(found[1].replace("_", "-").partition("-")[0]) else ""


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Pair` for every translated message; plural forms are paired with the plural message."""
    ids = Ids()
    for row in usable(_entries(path, cfg), cfg.bad_rows, "po"):
        if isinstance(row, Drop):
            yield row
            continue
        message: _Message = row.values["message"]
        for number, translation in sorted(message.translations.items()):
            source = message.plural if number and message.plural else message.text
            ident = ids("pair", cfg.pivot, source, cfg.language, translation)
            meta = {"context": message.context} if message.context else {}
            pair = Pair(ident, source, translation, cfg.pivot, cfg.language, f"{path.name}:{row.line}", meta)
            if message.obsolete:
                yield Drop(pair, "po.obsolete", "the program no longer says this")
            elif message.fuzzy and not cfg.fuzzy:
                yield Drop(pair, "po.fuzzy", "marked fuzzy: nobody has checked it")
            elif translation.strip():
                yield pair
            else:
                yield Drop(pair, "po.untranslated", "the translation is empty")


@dataclass
class _Message:
    line: int = 0
    text: str = ""
    plural: str = ""
    context: str = ""
    fuzzy: bool = False
    obsolete: bool = False
    translations: dict[int, str] = field(default_factory=dict)


def _entries(path: Path, cfg: Config) -> Iterator[Row | Bad]:
    message, part, index = _Message(), "", 0
    for number, raw in lines(path, cfg.encoding):
        line = raw.strip().strip("\ufeff")
        obsolete = line.startswith("#~") and not line.startswith("#~|")
        line = line[2:].strip() if obsolete else line
        if message.translations and obsolete != message.obsolete and line:
            yield from _finish(message)
            message, part = _Message(), ""
        keyword = re.match(r'(msgctxt|msgid_plural|msgid|msgstr)(?:\[(\d+)\])?\s+(".*")$', line)
        if line.startswith("#"):
            if message.translations:
                yield from _finish(message)
                message, part = _Message(), ""
            if line.startswith("#,") and "fuzzy" in line:
                message.fuzzy = True
            continue
        if keyword and (keyword[1] == "msgctxt" or keyword[1] == "msgid") and message.translations:
            yield from _finish(message)
            message = _Message()
        if keyword:
            part, index = keyword[1], int(keyword[2] or 0)
            message.line, message.obsolete = message.line or number, obsolete
        text = _unquoted(keyword[3] if keyword else line) if line else ""
        if text is None or (line and not part):
            what = "neither a keyword with a quoted text nor a quoted text"
            yield Bad(
                Problem(path.name, number, part, what, 'write it as msgid "..." with \\" for quotes inside'), line
            )
        elif line:
            _add(message, part, index, text)
    yield from _finish(message)


def _unquoted(text: str) -> str | None:
    if not re.fullmatch(r'"(?:[^"\\]|\\.)*"', text):
        return None
    try:
        return str(ast.literal_eval(text))
    except (SyntaxError, ValueError):
        return None


def _add(message: _Message, part: str, index: int, text: str) -> None:
    if part == "msgid":
        message.text += text
    elif part == "msgid_plural":
        message.plural += text
    elif part == "msgctxt":
        message.context += text
    else:
        message.translations[index] = message.translations.get(index, "") + text


def _finish(message: _Message) -> Iterator[Row]:
    # The message without text is the file's header.
    if message.text and message.translations:
        yield Row(message.line, {"message": message})
