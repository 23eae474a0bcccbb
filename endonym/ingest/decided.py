"""Decide which language each part of a source is in: the file's marks, names and columns say it, else what stands in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from endonym.data.languages import language
from endonym.ingest.beginnings import languages_of_files
from endonym.ingest.columns import guess, language_of
from endonym.ingest.finding import Finding, Said
from endonym.ingest.group import BESIDE, Group, is_document
from endonym.ingest.language import Known, identify
from endonym.ingest.sample import Sample
from endonym.ingest.table import Row, rows


def decide(finding: Finding, group: Group, module: ModuleType, values: dict[str, Any], known: Known) -> None:
    """Decide the languages and put them into the settings."""
    sample, fields = group.samples[0], module.Config.model_fields
    role = guess(sample.columns, "language")
    codes = _values(sample, role) if role else Counter()
    if callable(getattr(module, "languages", None)):
        finding.languages = module.languages(sample, values, known)
    elif group.reader in BESIDE or is_document(group.reader):
        languages_of_files(finding, group, module, values, known)
    elif group.reader == "lexicon":
        if len(group.samples) == 1 and any(language_of(column) for column in sample.columns):
            found = _columns(sample, values, known, codes, role)
            values["entries"] = (
                {"headword": found["language"][0], "definition": found["pivot"][0], **values.get("entries", {})}
                if len(found) == 2
                else values.get("entries", {})
            )
            _take(finding, found, values, sample, known)
        word, meaning = _lexicon_texts(group)
        for field, part, texts in (("language", "headwords", word), ("pivot", "definitions", meaning)):
            if not any(said.language == values.get(field) for said in finding.languages):
                _say(finding, values, field, part, texts, known, codes if field == "language" else Counter(), role)
    elif group.reader == "pairs":
        found = _columns(sample, values, known, codes, role)
        for field, column in (("language", "text"), ("pivot", "translation")):
            if field in found:
                values.setdefault(column, found[field][0])
        _take(finding, found, values, sample, known)
    elif group.reader == "chat":
        texts = [str(value) for row in sample.rows[:20] for value in row.values()]
        _say(finding, values, "language", "answers", texts, known, codes, role)
    elif group.reader == "documents" and not codes:
        texts = sample.column(
            module.resolved(sample.path, module.Config(**values)).text or guess(sample.columns, "text")
        )
        _say(finding, values, "language", "texts", texts, known, codes, role)
    elif group.reader == "documents":
        finding.languages = [
            Said(f"field {role}", language(code).code, f"{number:,} objects say so")
            for code, number in codes.items()
            if language(code).code in (known.language, known.pivot)
        ]
    elif group.reader == "po" and module.declared(sample) and not values.get("language"):
        values["language"] = module.declared(sample)
        finding.languages.append(Said("translations", values["language"], "the header of the file says so"))
    elif hasattr(module, "marked"):
        finding.languages = [Said(part, code, "the file says so") for part, code in module.marked(sample)]
    if len(codes) > 1 and "where" in fields and not values.get("where"):
        wanted = next((code for code in codes if language(code).code == known.language), "")
        if wanted:
            values["where"] = {role: wanted}
            finding.notes.append(
                f"rows in other languages than {wanted} (column {role}) are left out: where = {{{role} = {wanted}}}"
            )


def _values(sample: Sample, column: str) -> Counter[str]:
    """How often each value stands in a column, of the whole file: the languages may change after any row."""
    if column not in sample.columns:
        return Counter()
    found: Counter[str] = Counter()
    for row in rows(sample.path, sample.encoding.name, sample.layout):
        if isinstance(row, Row) and isinstance(row.values.get(column), str):
            found[row.values[column]] += 1
    return found


def _lexicon_texts(group: Group) -> tuple[list[str], list[str]]:
    word: list[str] = []
    meaning: list[str] = []
    for sample in group.samples:
        for texts, roles in ((word, ("headword", "example")), (meaning, ("definition", "example_translation"))):
            for role in roles:
                texts += sample.column(guess(sample.columns, role))
    return word, meaning


def _say(
    finding: Finding,
    values: dict[str, Any],
    field: str,
    part: str,
    texts: list[str],
    known: Known,
    codes: Counter[str],
    column: str,
) -> None:
    given = str(values.get(field, ""))
    listed = {language(code).code for code in codes}
    if given:
        said = Said(part, given, "as set")
    elif len(listed) == 1:
        said = Said(part, listed.pop(), f"the column {column} says so")
    elif known.language in listed:
        said = Said(part, known.language, f"the column {column} lists it")
    else:
        guessed = identify(texts, known)
        # A dictionary's two sides are the project's two languages unless something speaks against it.
        fallback = known.language if field == "language" else known.pivot
        said = Said(
            part, guessed.code or fallback, guessed.how if guessed.code else f"{guessed.how}; taken from the project"
        )
    values[field] = said.language
    finding.languages.append(said)
    known.learn(said.language, texts)


def _columns(
    sample: Sample, values: Mapping[str, Any], known: Known, codes: Counter[str], role: str
) -> dict[str, tuple[str, Said]]:
    """`language` and `pivot` -> (column, its language and why).

    Told by the name of the column, by the column that lists the languages, else by what stands in it.
    """
    columns = [column for column in sample.columns if column not in values.get("where", {})]
    said = {c: Said(f"column {c}", language_of(c), "the column's name says so") for c in columns if language_of(c)}
    listed = {language(code).code for code in codes}
    target = guess([c for c in columns if c not in said and c != role], "target")
    if target and known.language in listed and known.language not in {one.language for one in said.values()}:
        said[target] = Said(f"column {target}", known.language, f"the column {role} lists it")
    if len({one.language for one in said.values()}) < 2:
        rest = [
            c for c in columns if c not in said and (guess([c], "source") or guess([c], "target") or len(columns) == 2)
        ]
        for column in rest:
            guessed = identify(sample.column(column), known)
            if guessed.code:
                said[column] = Said(f"column {column}", guessed.code, guessed.how)
        _complete(said, rest, known)
    chosen = {one.language: column for column, one in reversed(said.items())}
    others = [code for code in reversed(chosen) if code not in (known.language, known.pivot)]
    first = known.language if known.language in chosen else next(iter(others), "")
    second = known.pivot if known.pivot in chosen else next((code for code in others if code != first), "")
    found = (("language", first), ("pivot", second))
    return {field: (chosen[code], said[chosen[code]]) for field, code in found if code}


def _take(
    finding: Finding, found: dict[str, tuple[str, Said]], values: dict[str, Any], sample: Sample, known: Known
) -> None:
    """Put the languages of columns into the settings and the finding, and say when the columns have no names."""
    for field, (column, said) in found.items():
        values.setdefault(field, said.language)
        finding.languages.append(said)
        known.learn(said.language, sample.column(column))
    if sample.layout is not None and not sample.layout.has_header:
        finding.notes.append("the first line names no columns, so it is read as a row")


def _complete(said: dict[str, Said], rest: list[str], known: Known) -> None:
    """Two columns, one of them sure: the other side is the project's other language."""
    if len(rest) == 2 and len({said[c].language for c in rest if c in said}) < 2:
        sure = next(
            (c for c in rest if c in said and "py3langid says" in said[c].how), next((c for c in rest if c in said), "")
        )
        if sure:
            other = rest[1 - rest.index(sure)]
            code = known.pivot if said[sure].language == known.language else known.language
            said[other] = Said(f"column {other}", code, "the other column is not; taken from the project")
