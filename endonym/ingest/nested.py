"""Reach into JSON objects: fields by dotted path, and the senses and examples inside a dictionary entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from endonym.ingest.columns import guess, language_of


@dataclass(frozen=True)
class Example:
    """An example sentence as it was found; one side may be empty."""

    text: str
    translation: str


@dataclass(frozen=True)
class Other:
    """A definition in a language that is not the pivot."""

    text: str
    language: str


MOST_PATHS = 300


def at(values: Mapping[str, Any], path: str) -> Any:
    """The value of a field; `translation.spa` is one inside another, `turns.0.text` one of a list, None when there is none.

    A path into a list without a number gives the values of all its objects.
    """
    if path in values:
        return values[path]
    now: Any = values
    for part in path.split(".") if path else ("",):
        if isinstance(now, list) and part.isdigit():
            now = now[int(part)] if int(part) < len(now) else None
        elif isinstance(now, list):
            now = [item[part] for item in now if isinstance(item, dict) and part in item] or None
        elif isinstance(now, dict):
            now = now.get(part)
        else:
            return None
    return now


def paths(values: Mapping[str, Any]) -> list[str]:
    """Names of all fields of an object, those inside others and inside the objects of a list by their dotted path."""
    found: list[str] = []
    waiting = [(str(key), value) for key, value in values.items()]
    while waiting and len(found) < MOST_PATHS:
        name, value = waiting.pop(0)
        found.append(name)
        if isinstance(value, dict):
            waiting += [(f"{name}.{key}", item) for key, item in value.items()]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            waiting += [(f"{name}.{key}", item) for key, item in value[0].items()]
    return list(dict.fromkeys(found))


def list_of(values: Mapping[str, Any], *names: str) -> str:
    """The path of the list of objects that hold all of these fields (`turns` for `turns.spa` and `turns.tzh`), `""` without one."""
    above = {name.rpartition(".")[0] for name in names}
    path = above.pop() if len(above) == 1 else ""
    found = at(values, path) if path else None
    return path if isinstance(found, list) and found and all(isinstance(item, dict) for item in found) else ""


def words(value: Any) -> str:
    """Any JSON value as text."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return "; ".join(filter(None, map(words, value.values())))
    if isinstance(value, list):
        return "; ".join(filter(None, map(words, value)))
    return str(value).strip()


def senses(value: Any, pivot: str, mark: str = "") -> Iterator[str | Other | Example]:
    """Yield the definitions in a cell, in order, and the examples and definitions in other languages inside them.

    The cell may be a text (cut at `mark` where one is given), a list, an object with a definition and perhaps examples,
    or an object of language and definition.
    """
    if isinstance(value, list):
        for item in value:
            yield from senses(item, pivot, mark)
    elif isinstance(value, dict):
        yield from _sense(value, pivot, mark)
    else:
        text = words(value)
        yield from filter(None, (part.strip() for part in (text.split(mark) if mark else [text])))


def _sense(value: Mapping[str, Any], pivot: str, mark: str) -> Iterator[str | Other | Example]:
    example = guess(value, "example")
    definition = guess(value, "definition", [example])
    if not definition and not example and pivot in {language_of(key) for key in value}:
        for key, text in value.items():
            if language_of(key) == pivot:
                yield from senses(text, pivot, mark)
            elif words(text):
                yield Other(words(text), language_of(key))
        return
    if definition:
        yield from senses(value[definition], pivot, mark)
    else:
        rest = words({key: item for key, item in value.items() if key != example})
        yield from [rest] if rest else []
    if example:
        translation = guess(value, "example_translation", [example, definition])
        yield from examples(value[example], value.get(translation), pivot)


def examples(value: Any, translation: Any = None, pivot: str = "") -> Iterator[Example]:
    """Yield the examples in a cell: a text, a list of texts beside a list of translations, or objects that hold both."""
    if isinstance(value, dict):
        yield from _example(value, pivot)
    elif isinstance(value, list):
        beside = translation if isinstance(translation, list) else [translation] if translation else []
        for number in range(max(len(value), len(beside))):
            here = value[number] if number < len(value) else ""
            yield from examples(here, beside[number] if number < len(beside) else None, pivot)
    elif words(value) or words(translation):
        yield Example(words(value), words(translation))


def _example(value: Mapping[str, Any], pivot: str) -> Iterator[Example]:
    translation = next((key for key in value if language_of(key) == pivot), "") or guess(value, "example_translation")
    translation = translation or guess(value, "target") or guess(value, "definition")
    text = guess(value, "example", [translation]) or guess(value, "text", [translation])
    text = text or guess(value, "source", [translation]) or next((k for k in value if k != translation), "")
    found = Example(words(value.get(text)), words(value.get(translation)))
    if found.text or found.translation:
        yield found
