"""Files that belong together: the linked tables of a dictionary, and one document in two languages."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from endonym import plugins
from endonym.ingest.columns import guess
from endonym.ingest.document import Settings
from endonym.ingest.encoding import Encoding
from endonym.ingest.names import home, split_ending, split_name
from endonym.ingest.sample import Sample
from endonym.ingest.table import Row, rows

LEAST_SHARED = 0.5
"""Share of the keys of a table that another must hold for the two to be linked."""

BESIDE = ("subtitles", "moses")
"""Readers that read the files of two languages together; their setting `translation` names the second."""


@dataclass
class Group:
    """Files that are one source, the main one first, with the settings that say how they belong together."""

    samples: list[Sample]
    reader: str
    settings: dict[str, Any] = field(default_factory=dict)
    beside: list[Path] = field(default_factory=list)
    """Further files that the reader reads with the main one, and that were not looked at."""

    @property
    def encodings(self) -> str:
        return ", ".join(dict.fromkeys(sample.encoding.said for sample in self.samples))


def groups(samples: Sequence[tuple[Sample, str]], language: str, pivot: str) -> list[Group]:
    """Put files together that are one source; the rest stand alone."""
    left = list(samples)
    found = []
    for find in (_with_sidecars, _linked, partial(_parallel, language=language, pivot=pivot)):
        for group in list(find(left)):
            used = {id(sample) for sample in group.samples}
            left = [(sample, reader) for sample, reader in left if id(sample) not in used]
            found.append(group)
    return found + [Group([sample], reader) for sample, reader in left]


def _with_sidecars(samples: Sequence[tuple[Sample, str]]) -> Iterator[Group]:
    """Scanned pages of one name but for its number, in their order; and with each page or recording what was typed from it.

    Readers that read other files along say which: `beside(path)`. These files come in too when nobody named them.
    """
    given = {sample.path: sample for sample, _ in samples}
    used: set[Path] = set()
    found: dict[tuple[Path, str, str], list[Sample]] = defaultdict(list)
    for sample, reader in samples:
        if sample.form and not is_document(reader):
            name = re.sub(r"[\W_]*\d+[A-Za-z]?$", "", sample.path.stem) or sample.path.parent.name
            alone = sample.form == "PDF"
            found[sample.path.parent, sample.path.stem if alone else name, reader].append(sample)
    for (_, name, reader), main in found.items():
        main.sort(key=lambda sample: _natural(sample.path.name))
        group = Group(main, reader, {"document": name} if len(main) > 1 else {})
        module = plugins.load("reader", reader) if reader in plugins.available("reader") else None
        for sample in list(main) if module is not None and hasattr(module, "beside") else []:
            assert module is not None
            for path in module.beside(sample.path):
                if path not in used:
                    used.add(path)
                    group.samples.append(given.get(path) or Sample(path, Encoding("utf-8", "UTF-8"), ""))
        yield group


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts `page 2` before `page 10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _linked(samples: Sequence[tuple[Sample, str]]) -> Iterator[Group]:
    tables = [sample for sample, reader in samples if reader == "lexicon"]
    used: set[int] = set()
    for main in tables:
        if not guess(main.columns, "headword") or not guess(main.columns, "id"):
            continue
        beside = [t for t in tables if t.path.parent == main.path.parent and t is not main and id(t) not in used]
        keys = _keys(main, guess(main.columns, "id", [guess(main.columns, "headword")]))
        senses = next((t for t in beside if not guess(t.columns, "headword") and guess(t.columns, "definition")
                       and _refers(t, "entry_link", keys)), None)  # fmt: skip
        examples = _examples(beside, senses, keys)
        group = Group([main], "lexicon")
        for role, table in (("senses", senses), ("examples", examples)):
            if table is not None:
                group.samples.append(table)
                group.settings[role] = {"file": table.path.name}
                used.add(id(table))
        if len(group.samples) > 1:
            yield group


def _examples(tables: Sequence[Sample], senses: Sample | None, entry_keys: set[str]) -> Sample | None:
    of_senses = _keys(senses, guess(senses.columns, "id")) if senses else set()
    for table in tables:
        if table is senses or not guess(table.columns, "example"):
            continue
        if (of_senses and _refers(table, "sense_link", of_senses)) or _refers(table, "entry_link", entry_keys):
            return table
    return None


def _keys(sample: Sample, column: str) -> set[str]:
    return {
        str(row.values.get(column, ""))
        for row in rows(sample.path, sample.encoding.name, sample.layout)
        if isinstance(row, Row)
    }


def _refers(sample: Sample, role: str, keys: set[str]) -> bool:
    column = guess(sample.columns, role)
    named = [part.strip() for cell in sample.column(column) for part in cell.split(";")] if column else []
    return bool(named) and sum(name in keys for name in named) >= LEAST_SHARED * len(named)


def split(sample: Sample, reader: str, language: str, pivot: str) -> tuple[str, str]:
    """Name and language of a file as its reader writes them: `story.de.txt`, but `corpus.de` for parallel lines."""
    return (split_ending if reader == "moses" else split_name)(sample.path, language, pivot)


def _parallel(samples: Sequence[tuple[Sample, str]], language: str, pivot: str) -> Iterator[Group]:
    """One document in several languages: a group for each format it is in (a book may be a PDF here and a text there)."""
    found: dict[tuple[str, str, bool], dict[str, tuple[Sample, str]]] = defaultdict(dict)
    for sample, reader in samples:
        name, code = split(sample, reader, language, pivot)
        if code and (reader in BESIDE or is_document(reader)):
            found[str(home(sample.path, language, pivot)), name, reader in BESIDE].setdefault(code, (sample, reader))
    for sample, reader in samples:
        # `film.srt` beside `film.es.srt` is the film in the project's other language.
        sides = found.get((str(sample.path.parent), sample.path.stem, True), {})
        if reader == "subtitles" and len(sides) == 1 and {language, pivot} > set(sides):
            sides[pivot if language in sides else language] = (sample, reader)
    for (_, _, together), sides in found.items():
        order = sorted(sides, key=lambda code: {language: 0, pivot: 1}.get(code, 2))
        if len(order) < 2:
            continue
        if together:
            (first, reader), (second, _) = (sides[code] for code in order[:2])
            yield Group([first, second], reader, {"translation": second.path.name})
            continue
        for kind in dict.fromkeys(sides[code][1] for code in order):
            yield Group([sides[code][0] for code in order if sides[code][1] == kind], kind, {"parallel": True})


def is_document(reader: str) -> bool:
    """Whether a reader of Endonym's own reads running text, whose files may be one document in several languages."""
    plugin = plugins.available("reader").get(reader)
    if plugin is None:
        return False
    config = getattr(plugins.load("reader", reader), "Config", None)
    return isinstance(config, type) and issubclass(config, Settings)
