"""Find out what files are: format, linked tables, languages, script, how much, and what they are good for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from endonym import plugins
from endonym.data.languages import language
from endonym.data.scripts import count_scripts
from endonym.errors import ConfigError, DataError, EndonymError, MissingError, Problem
from endonym.ingest.columns import guess, language_of
from endonym.ingest.finding import Finding, Said, good_for
from endonym.ingest.group import BESIDE, Group, groups, is_document, split
from endonym.ingest.language import MOST_CHARS, Known, identify
from endonym.ingest.names import split_name
from endonym.ingest.sample import Sample, take
from endonym.ingest.source import Source, configure, records
from endonym.ingest.table import Row, rows
from endonym.ingest.together import together
from endonym.types import Drop, Pair

if TYPE_CHECKING:
    from endonym.project import Project

LEAST_SCORE = 0.1


def choose_reader(path: Path, project: Path | None) -> str:
    """Name of the reader that fits a file best. Raises DataError when none does."""
    return choose(take(path), project)


def choose(sample: Sample, project: Path | None) -> str:
    """The reader with the highest score. A reader without `sniff` claims its extensions: 1 in a project, 0.6 elsewhere."""
    best, name = LEAST_SCORE, ""
    suffix = sample.path.suffix.lower()
    for plugin in plugins.available("reader", project).values():
        try:
            module = plugins.load("reader", plugin.name, project)
        except MissingError:
            continue
        if sample.packed and not getattr(module, "PACKED", False):
            score = 0.0
        elif hasattr(module, "sniff"):
            score = float(module.sniff(sample))
        else:
            fits = suffix in getattr(module, "EXTENSIONS", ())
            score = fits * (1.0 if plugin.origin == "project" else 0.6)
        if score > best:
            best, name = score, plugin.name
    if not name and sample.packed:
        what = f"it is {sample.encoding.said}, and no reader knows what is inside"
        raise DataError(Problem(sample.path.name, 0, "", what, "unpack it and add the file inside"))
    if not name:
        known = ", ".join(plugins.available("reader", project))
        raise DataError(
            Problem(sample.path.name, 0, "", "no reader recognises this file", f"name one with --reader: {known}")
        )
    return name


def look(
    project: Project, paths: Iterable[Path], reader: str = "", settings: Mapping[str, Any] | None = None
) -> list[Finding]:
    """Find out what each file is; one finding a source, and one for each file that cannot be read."""
    samples, findings = [], []
    paths = list(paths)
    files = together(paths)
    for path in files:
        try:
            sample = take(path)
            samples.append((sample, reader or choose(sample, project.path)))
        except EndonymError as error:
            name = shown(project, path)
            problems = [replace(problem, file=name) for problem in _problems(error, path)]
            findings.append(Finding([name], problems=problems))
    known = Known(project.language, project.pivot)
    found = groups(samples, project.language, project.pivot)
    for group in found:
        group.beside = files[group.samples[0].path]
    # Sources whose language is written somewhere come first: they help to tell the others.
    for group in sorted(found, key=lambda group: not _says(group, known)):
        findings.append(_find(project, group, known, settings or {}))
    order = {shown(project, path): number for number, path in enumerate(paths)}
    return sorted(findings, key=lambda finding: min(order.get(name, 0) for name in finding.files))


def shown(project: Project, path: Path) -> str:
    """A path relative to the project folder where it lies in it, else absolute."""
    full = path.resolve()
    return full.relative_to(project.path).as_posix() if project.path in full.parents else str(full)


def _problems(error: EndonymError, path: Path) -> list[Problem]:
    return error.problems if isinstance(error, DataError) else [Problem(path.name, 0, "", error.message, error.hint)]


def _says(group: Group, known: Known) -> bool:
    sample = group.samples[0]
    return (
        bool(guess(sample.columns, "language"))
        or bool(split_name(sample.path, known.language, known.pivot)[1])
        or any(language_of(column) for column in sample.columns)
    )


def _find(project: Project, group: Group, known: Known, settings: Mapping[str, Any]) -> Finding:
    first = group.samples[0]
    finding = Finding(
        [shown(project, path) for path in (*(sample.path for sample in group.samples), *group.beside)],
        group.reader,
        group.encodings,
        first.delimiter,
    )
    try:
        module = plugins.load("reader", group.reader, project.path)
        values: dict[str, Any] = {**group.settings, **settings}
        _languages(finding, group, module, values, known)
        config = _configure(module, values, project)
        values = _mapping(module, config, first, values)
        _count(finding, Source(finding.files, group.reader, module, config, {}), project, known)
        finding.settings = values
        _unused(finding, group, values)
        if hasattr(module, "fields_read"):
            left = [column for column in first.columns if column not in module.fields_read(first, config)]
            finding.notes += [f"fields that are not read: {', '.join(left)}"] if left else []
        _remark(finding, project, known)
    except EndonymError as error:
        names = {sample.path.name: name for sample, name in zip(group.samples, finding.files)}
        finding.problems = [replace(p, file=names.get(p.file, p.file)) for p in _problems(error, first.path)]
    return finding


def _configure(module: ModuleType, values: Mapping[str, Any], project: Project) -> Any:
    problems: list[str] = []
    config = configure(module, values, project, problems)
    if problems:
        raise ConfigError("; ".join(problems), "Correct the settings given.")
    return config


def _mapping(module: ModuleType, config: Any, sample: Sample, values: dict[str, Any]) -> dict[str, Any]:
    """The settings with every guessed column written out, so that the user sees and can correct them."""
    if not hasattr(module, "resolved"):
        return values
    full = module.resolved(sample.path, config)
    return {**values, **_filled(full.model_dump(mode="json", exclude_defaults=True))}


def _unused(finding: Finding, group: Group, values: Mapping[str, Any]) -> None:
    """Say which columns of a table with a mapping are not read: what stands there is not learned."""
    if group.reader not in ("lexicon", "pairs"):
        return
    for sample in group.samples:
        role = next((r for r in ("senses", "examples") if values.get(r, {}).get("file") == sample.path.name), "entries")
        mapping = values.get(role, {}) if group.reader == "lexicon" else values
        used = {value for value in mapping.values() if isinstance(value, str)} | set(values.get("where", {}))
        used |= {guess(sample.columns, "language"), *([guess(sample.columns, "id")] if role == "examples" else [])}
        left = [column for column in sample.columns if column not in used and sample.column(column)]
        if left:
            where = f" of {sample.path.name}" if len(group.samples) > 1 else ""
            finding.notes.append(f"columns{where} that are not read: {', '.join(left)}")


def _filled(data: dict[str, Any]) -> dict[str, Any]:
    cleaned = {key: _filled(value) if isinstance(value, dict) else value for key, value in data.items()}
    return {key: value for key, value in cleaned.items() if value not in ("", None, {}, [])}


def _languages(finding: Finding, group: Group, module: ModuleType, values: dict[str, Any], known: Known) -> None:
    """Decide the languages and put them into the settings."""
    sample, fields = group.samples[0], module.Config.model_fields
    role = guess(sample.columns, "language")
    codes = _values(sample, role) if role else Counter()
    if hasattr(module, "languages"):
        finding.languages = module.languages(sample, values, known)
    elif group.reader in BESIDE or is_document(group.reader):
        _of_files(finding, group, module, values, known)
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


def _of_files(finding: Finding, group: Group, module: ModuleType, values: dict[str, Any], known: Known) -> None:
    for sample in group.samples:
        texts = _beginning(module.head(sample.path)) if hasattr(module, "head") else [sample.head]
        _, code = split(sample, group.reader, known.language, known.pivot)
        if code:
            said = Said(sample.path.name, code, "the file's name says so")
        elif values.get("language"):
            said = Said(sample.path.name, values["language"], "as set")
        else:
            guessed = identify(texts, known)
            said = Said(
                sample.path.name,
                guessed.code or known.language,
                guessed.how if guessed.code else f"{guessed.how}; taken from the project",
            )
            values["language"] = said.language
        finding.languages.append(said)
        known.learn(said.language, texts)


def _beginning(texts: Iterable[str]) -> list[str]:
    """As many texts as are needed to tell a language."""
    found, size = [], 0
    for text in texts:
        found.append(text)
        size += len(text)
        if size >= MOST_CHARS:
            break
    return found


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


def _count(finding: Finding, source: Source, project: Project, known: Known) -> None:
    scripts: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    examples, ruined, parallel = 0, 0, set()
    beside: Counter[str] = Counter()
    for item in records(source, project.path):
        if isinstance(item, Drop):
            finding.records["left out"] += 1
            left_out[item.reason] += 1
            continue
        finding.records[item.kind] += 1
        examples += isinstance(item, Pair) and "headwords" in item.meta
        beside.update(list(item.meta.get("fields", ())))
        if item.meta.get("parallel"):
            parallel.add(getattr(item, "language", ""))
        for _, text in item.texts():
            finding.characters += len(text)
            ruined += text.count("\ufffd")
            scripts.update(count_scripts(text))
    finding.scripts = dict(scripts.most_common())
    if not finding.records.total() - finding.records["left out"]:
        what = "none of its records can be used" if finding.records else "it holds no record"
        reasons = f" ({', '.join(sorted(left_out))})" if left_out else ""
        raise DataError(
            Problem(finding.files[0], 0, "", what + reasons, "complete the file, or name another reader with --reader")
        )
    if ruined:
        finding.notes.append(f"{ruined:,} characters were lost before it came here (U+FFFD stands for them)")
    if beside:
        named = ", ".join(f"{name} ({number:,})" for name, number in beside.most_common())
        finding.notes.append(f"kept beside the entries (meta.fields), not learned: {named}")
    if left_out:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in left_out.most_common(6))
        more = f" and {len(left_out) - 6} more reasons" if len(left_out) > 6 else ""
        finding.notes.append(f"{left_out.total():,} records go to the ledger with their reason: {reasons}{more}")
    finding.good_for = good_for(finding.records, len(parallel) > 1, examples)


def _remark(finding: Finding, project: Project, known: Known) -> None:
    found = {said.language for said in finding.languages if said.language}
    strange = found - {project.language, project.pivot}
    if found and project.language not in found:
        finding.notes.append(
            f"nothing in it is in the project's language ({project.language}); set `language` if this is wrong"
        )
    elif strange and finding.reader != "documents":
        finding.notes.append(
            f"{', '.join(sorted(strange))} is neither the project's language nor its pivot ({project.language}, {project.pivot})"
        )
