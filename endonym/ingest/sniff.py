"""Find out what files are: format, linked tables, languages, script, how much, and what they are good for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from endonym import plugins
from endonym.data.scripts import count_scripts
from endonym.errors import ConfigError, DataError, EndonymError, MissingError, Problem
from endonym.ingest import tesseract
from endonym.ingest.columns import guess, language_of
from endonym.ingest.decided import decide
from endonym.ingest.finding import Finding, good_for
from endonym.ingest.forms import unread
from endonym.ingest.group import Group, groups
from endonym.ingest.language import Known
from endonym.ingest.names import split_name
from endonym.ingest.nested import at
from endonym.ingest.packing import bare_name
from endonym.ingest.review import waits
from endonym.ingest.sample import Sample, take
from endonym.ingest.source import GLANCED, Source, configure, foreseen, records
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
    absent: list[MissingError] = []
    suffix = bare_name(sample.path).suffix.lower()
    for plugin in plugins.available("reader", project).values():
        try:
            module = plugins.load("reader", plugin.name, project)
        except MissingError as error:
            absent.append(error)
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
    if not name and sample.form:
        raise unread(sample.path, sample.form, absent)
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
    samples, findings, unfit = [], [], []
    paths = list(paths)
    files = together(paths)
    for path in files:
        try:
            with foreseen(path.name):
                sample = take(path)
                samples.append((sample, reader or choose(sample, project.path)))
        except EndonymError as error:
            name = shown(project, path)
            problems = [replace(problem, file=name) for problem in _problems(error, path)]
            unfit.append((path, Finding([name], problems=problems)))
    known = Known(project.language, project.pivot)
    found = groups(samples, project.language, project.pivot)
    for group in found:
        group.beside = files[group.samples[0].path]
    read_along = {sample.path for group in found for sample in group.samples}
    findings += [finding for path, finding in unfit if path not in read_along]
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
        with foreseen(first.path.name):
            module = plugins.load("reader", group.reader, project.path)
            values: dict[str, Any] = {**group.settings, **settings}
            # Settings that are wrong are said before anything is read with them.
            _configure(module, values, project)
            decide(finding, group, module, values, known)
            config = _configure(module, values, project)
            values = _mapping(module, config, first, values)
            config = _configure(module, values, project)
            _count(finding, Source(finding.files, group.reader, module, config, {}), project, known)
            finding.settings = {key: value for key, value in values.items() if value != ""}
            if hasattr(module, "measured"):
                finding.notes += filter(
                    None, [module.measured(project.path / name, config) for name in finding.files[:GLANCED]]
                )
            _unused(finding, group, values)
            if hasattr(module, "fields_read"):
                read = module.fields_read(first, config)
                left = [name for name in first.columns if name not in read and name.split(".")[0] not in read]
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
        left = _with_something(sample, [
            column for column in sample.columns
            if not any(name == column or name.startswith(f"{column}.") or column.startswith(f"{name}.") for name in used)
        ])  # fmt: skip
        if left:
            where = f" of {sample.path.name}" if len(group.samples) > 1 else ""
            finding.notes.append(f"columns{where} that are not read: {', '.join(left)}")


def _with_something(sample: Sample, columns: list[str]) -> list[str]:
    """Those of the columns in which anything stands, in the whole file: the first remark may come after a thousand rows."""
    empty = {column for column in columns if not sample.column(column)}
    for row in rows(sample.path, sample.encoding.name, sample.layout) if empty else ():
        if isinstance(row, Row):
            empty -= {column for column in empty if at(row.values, column)}
        if not empty:
            break
    return [column for column in columns if column not in empty]


def _filled(data: dict[str, Any]) -> dict[str, Any]:
    cleaned = {key: _filled(value) if isinstance(value, dict) else value for key, value in data.items()}
    return {key: value for key, value in cleaned.items() if value not in ("", None, {}, [])}


def _count(finding: Finding, source: Source, project: Project, known: Known) -> None:
    scripts: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    examples, ruined, parallel = 0, 0, set()
    beside: Counter[str] = Counter()
    scans: list[str] = []
    for item in records(source, project.path, glance=True):
        if isinstance(item, Drop):
            finding.records["left out"] += 1
            left_out[item.reason] += 1
            if item.reason.endswith(".no_text_layer"):
                scans.append(item.record.origin.rpartition(":")[2])
            finding.records["waiting"] += waits(item.reason)
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
    waiting = finding.records.pop("waiting", 0)
    if waiting:
        finding.notes.append(f"{waiting:,} passages are too unsure and wait for a person: endonym review, after ingest")
    if not waiting and not finding.records.total() - finding.records["left out"]:
        what = "none of its records can be used" if finding.records else "it holds no record"
        reasons = f" ({', '.join(sorted(left_out))})" if left_out else ""
        raise DataError(
            Problem(finding.files[0], 0, "", what + reasons, "complete the file, or name another reader with --reader")
        )
    if scans:
        pages = ", ".join(scans[:8]) + (" and more" if len(scans) > 8 else "")
        finding.notes.append(
            f"{len(scans):,} pages are scans without text ({pages}): "
            + ("ingest recognises them" if tesseract.ready() else "they can be read with Tesseract, see endonym doctor")
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
