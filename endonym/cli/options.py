"""Command line options made from a pydantic `Config`: one option a field, its description and default in the help."""

from __future__ import annotations

import argparse
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin


def add_fields(group: Any, model: Any, prefix: str = "") -> None:
    """Add an option to the argparse `group` for every field of the Config class `model`.

    Values stay texts (lists and tables of texts): pydantic converts and checks them together with the settings files, so
    that all problems are reported at once. An option not given is absent from the result.
    """
    for name, field in model.model_fields.items():
        table, flag = _dashed(prefix), _dashed(name)
        kind = _kind(field.annotation)
        if hasattr(kind, "model_fields"):
            add_fields(group, kind, f"{prefix}{name}.")
            continue
        words = _help(field)
        if kind is bool:
            flags: tuple[str, ...] = (f"--{table}{flag}", f"--{table}no-{flag}")
            more: dict[str, Any] = {"action": Switch}
        else:
            flags = (f"--{table}{flag}",)
            more = {"type": _reader(field.annotation), "metavar": _metavar(kind)}
        group.add_argument(*flags, dest=f"{prefix}{name}", default=argparse.SUPPRESS, help=words, **more)


class Switch(argparse.Action):
    """A yes-or-no option: `--flag`, `--no-flag`."""

    def __init__(self, option_strings: list[str], dest: str, **more: Any):
        super().__init__(option_strings, dest, nargs=0, **more)

    def __call__(
        self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        setattr(namespace, self.dest, option_string == self.option_strings[0])

    @property
    def shown(self) -> str:
        """How help writes both options: `--[no-]flag`."""
        table, dot, flag = self.option_strings[0].removeprefix("--").rpartition(".")
        return f"--{table}{dot}[no-]{flag}"


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`{"length.max_chars": 4}` as `{"length": {"max_chars": 4}}`."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *tables, last = key.split(".")
        table = nested
        for name in tables:
            table = table.setdefault(name, {})
        table[last] = value
    return nested


def unknown(words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Read options the parser does not know as settings (`--rnk 3`), for the settings check to name; and what is left."""
    found: dict[str, Any] = {}
    left = []
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if not word.startswith("--") or word == "--":
            left.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if equals:
            found[_key(name)] = value
        elif waiting and not waiting[0].startswith("--"):
            found[_key(name)] = waiting.pop(0)
        else:
            found[_key(name)] = True
    return found, left


def describe(model: Any) -> list[dict[str, Any]]:
    """The settings of a Config as data: name, type, default, description."""
    rows = []
    for name, field in model.model_fields.items():
        default: Any = None if field.is_required() else field.get_default(call_default_factory=True)
        if hasattr(default, "model_dump"):
            default = default.model_dump(mode="json")
        rows.append(
            {
                "name": name,
                "type": _metavar(_kind(field.annotation)),
                "required": field.is_required(),
                "default": default,
                "description": field.description or "",
            }
        )
    return rows


def _help(field: Any) -> str:
    words = (field.description or "").rstrip()
    words = words if not words or words.endswith((".", "?", "!")) else words + "."
    if field.is_required():
        return f"{words} (required)".replace("%", "%%")
    shown = _show(field.get_default(call_default_factory=True))
    return f"{words} (default: {shown})".replace("%", "%%").strip()


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if value in ("", [], (), {}):
        return "empty"
    if isinstance(value, Mapping):
        return ",".join(f"{k}={_show(v)}" for k, v in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(_show(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _kind(annotation: Any) -> Any:
    """The type of a field without `| None`."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [a for a in get_args(annotation) if a is not type(None)]
        return kinds[0] if len(kinds) == 1 else annotation
    return annotation


def _metavar(kind: Any) -> str:
    origin = get_origin(kind) or kind
    if origin is Literal:
        return "|".join(map(str, get_args(kind)))
    if origin in (Union, types.UnionType):
        return "|".join(_metavar(a) for a in get_args(kind))
    if origin in (list, tuple, set, frozenset):
        return "A,B"
    if origin in (dict, Mapping):
        return "KEY=VALUE,.."
    return {int: "N", float: "X", bool: "yes|no", Path: "PATH"}.get(origin, "TEXT")


def _reader(annotation: Any) -> Callable[[str], Any]:
    """How the text of an option becomes what pydantic is given."""
    kind = _kind(annotation)
    origin = get_origin(kind) or kind
    optional = kind is not annotation
    if origin in (list, tuple, set, frozenset):
        return _list
    if origin in (dict, Mapping):
        return _table
    choices = {str(value): value for value in get_args(kind)} if origin is Literal else {}
    numeric = origin in (Union, types.UnionType) and bool({int, float} & set(get_args(kind)))

    def read(text: str) -> Any:
        if optional and kind is not str and text == "none" and text not in choices:
            return None
        return _number(text) if numeric else choices.get(text, text)

    return read


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _table(text: str) -> dict[str, str]:
    parts = [part.partition("=") for part in _list(text)]
    if not all(equals for _, equals, _ in parts):
        raise argparse.ArgumentTypeError("write it as key=value,key=value")
    return {key.strip(): value.strip() for key, _, value in parts}


def _number(text: str) -> Any:
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _key(name: str) -> str:
    return name.replace("-", "_")
