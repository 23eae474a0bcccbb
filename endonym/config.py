"""Settings: field defaults <- endonym.toml <- the plan <- the command line, every problem reported at once."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from endonym.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class Layer:
    """One source of settings; `label` says where they stand, `path` lets a problem name its line."""

    label: str
    values: Mapping[str, Any]
    path: Path | None = None


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file. Raises ConfigError that names the line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist", "Give the path of a TOML file that exists.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: {error}", "Save the file as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}", "Repair the line it names; strings need quotes.") from error


def validate(model: type[Any], layers: Sequence[Layer], section: str, problems: list[str]) -> Any:
    """Merge `layers` (later wins) into one instance of the pydantic class `model`.

    Every problem is appended to `problems` with the place it stands; returns None when there was one.
    """
    from pydantic import ValidationError

    before = len(problems)
    fields = set(model.model_fields)
    aliases = {field.alias: name for name, field in model.model_fields.items() if field.alias}
    merged: dict[str, Any] = {}
    came_from: dict[str, Layer] = {}
    for layer in layers:
        for key, value in layer.values.items():
            name = aliases.get(key, key.replace("-", "_"))
            if name not in fields:
                problems.append(f"{_place(layer, key, section)}: unknown setting '{key}'. {did_you_mean(name, fields)}")
                continue
            merged[name] = value
            came_from[name] = layer
    try:
        instance = model(**merged)
    except ValidationError as error:
        for detail in error.errors():
            name = str(detail["loc"][0]) if detail["loc"] else ""
            if not name:
                problems.append(f"[{section}]: {detail['msg']}")
                continue
            where = _place(came_from[name], name, section) if name in came_from else f"[{section}]"
            given = (
                f" (got {json.dumps(detail['input'], default=str, ensure_ascii=False)})" if name in came_from else ""
            )
            problems.append(f"{where}: '{'.'.join(map(str, detail['loc']))}': {detail['msg']}{given}")
        return None
    return instance if len(problems) == before else None


def raise_problems(
    problems: Sequence[str], hint: str = "Correct them and run the command again; --help lists every setting."
) -> None:
    """Raise one ConfigError that lists all problems; do nothing when there is none."""
    if problems:
        noun = "problem" if len(problems) == 1 else "problems"
        raise ConfigError(f"{len(problems)} {noun} in the settings\n" + "\n".join(f"  {p}" for p in problems), hint)


def to_toml(data: Mapping[str, Any], prefix: str = "") -> str:
    """Write plain data as TOML: scalars and lists first, then tables and arrays of tables. None values are left out."""
    lines = [
        f"{_key(k)} = {_value(v)}" for k, v in data.items() if v is not None and not _is_table(v) and not _is_tables(v)
    ]
    for key, value in data.items():
        name = f"{prefix}{_key(key)}"
        if _is_table(value):
            lines += ["", f"[{name}]", to_toml(value, f"{name}.").strip("\n")]
        elif _is_tables(value):
            for item in value:
                lines += ["", f"[[{name}]]", to_toml(item, f"{name}.").strip("\n")]
    return "\n".join(lines).strip("\n") + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_tables(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(v, Mapping) for v in value)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, (int, float)):
        return repr(value)
    # JSON's escapes are TOML's too, but TOML does not allow a raw DEL.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _place(layer: Layer, key: str, section: str) -> str:
    if layer.path is None:
        return layer.label
    line = _line_of(layer.path, key, section)
    return f"{layer.path.name}:{line} [{section}]" if line else f"{layer.path.name} [{section}]"


def _line_of(path: Path, key: str, section: str) -> int:
    """Best guess of the line that sets `key` in `section`, 0 when it cannot be told."""
    inside, found = False, 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
        if header:
            inside = header.group(1).replace('"', "").replace(" ", "") == section
        elif re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            if inside:
                return number
            found = found or 0
    return found
