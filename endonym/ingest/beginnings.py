"""Tell the language of files of running text by their names, else by how they begin."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from endonym.ingest.finding import Finding, Said
from endonym.ingest.group import Group, split
from endonym.ingest.language import MOST_CHARS, Known, identify


def languages_of_files(
    finding: Finding, group: Group, module: ModuleType, values: dict[str, Any], known: Known
) -> None:
    """Put the language of each file into the finding, and into the settings where no name says it."""
    for sample in group.samples:
        texts = _beginning(module.head(sample.path)) if hasattr(module, "head") else [sample.head]
        _, code = split(sample, group.reader, known.language, known.pivot)
        if not code and hasattr(module, "facing") and not values.get("facing"):
            values["facing"] = module.facing(sample.path, known.language, known.pivot)
        if values.get("facing"):
            said = Said(f"{values['facing']} pages", known.language, "the pages on the other side are in the pivot")
            values["language"] = known.language
        elif code:
            said = Said(sample.path.name, code, "the file's name says so")
        elif values.get("written_in") or values.get("language"):
            said = Said(sample.path.name, values.get("written_in") or values["language"], "as set")
        else:
            guessed = identify(texts, known)
            said = Said(
                sample.path.name,
                guessed.code or known.language,
                guessed.how if guessed.code else f"{guessed.how}; taken from the project",
            )
            # The language taught stays known where a text in the pivot may hold tables of both.
            apart = said.language == known.pivot and "written_in" in module.Config.model_fields
            values["written_in" if apart else "language"] = said.language
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
